"""Options of `llm peft merge`, with the names of PaddleNLP's merge_lora_params."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_convert.shard_size import DEFAULT_SHARD, parse_size
from llm_convert.type_names import SHORT_NAMES
from llm_peft.errors import LoraOptionError

_INPUT, _OUTPUT, _CHECK = "Input", "Output", "Certificate"


@dataclass(kw_only=True)
class MergeOptions:
    """Fold a LoRA adapter into its base model, without Paddle and one tensor at a time.

    Sums are taken in float32 and rounded once. The result is a model folder in the layout of the
    base, with certificate.json: how far its answers are from those of base and adapter.
    """

    model_name_or_path: str | None = option(
        None,
        help="Folder of the base model, or its name on a hub; by default the one that the adapter "
        "names.",
        group=_INPUT,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=_INPUT
    )
    lora_path: str = option(
        help="Folder of the adapter: PaddleNLP's or Hugging Face PEFT's.", group=_INPUT
    )
    allow_other_base: bool = flag(
        False,
        help="Merge into another base than the adapter was trained on, of the same shapes.",
        group=_INPUT,
    )
    output_path: str = option(help="Folder to write; it appears whole.", group=_OUTPUT)
    overwrite: bool = flag(False, help="Replace an earlier output at output_path.", group=_OUTPUT)
    to: str | None = option(
        None,
        help="Layout to write, Hugging Face's or PaddleNLP's; without it, that of the base.",
        choices=("hf", "paddlenlp"),
        group=_OUTPUT,
    )
    dtype: str | None = option(
        None,
        help="Type of all floating weights; without it every tensor keeps its own, and quantized "
        "linears of the base are written in the type of their scales.",
        choices=("float32", "float16", "bfloat16", "fp32", "fp16", "bf16"),
        group=_OUTPUT,
    )
    max_shard_size: str = option(
        DEFAULT_SHARD,
        help="Largest file, such as 4GB or 512MiB; a tensor is never split.",
        group=_OUTPUT,
    )
    safe_serialization: bool = flag(
        True, help="Always true: weights are written as safetensors.", group=_OUTPUT
    )
    device: str = option("cpu", help="Has no effect: merging needs no device.", group=_OUTPUT)
    verify: str | None = option(
        None,
        help="true or false: compare the result with base and adapter and write certificate.json; "
        "by default for models under 2 B parameters.",
        choices=("true", "false"),
        bare="true",
        group=_CHECK,
    )
    verify_tokens: int = option(
        256,
        help="Random tokens on which the result is compared with base and adapter; 0: none.",
        group=_CHECK,
    )
    max_kl: float = option(
        0.01,
        help="Most nats (mean KL divergence) that a compared result may be away; beyond, nothing "
        "is written.",
        group=_CHECK,
    )
    seed: int = option(0, help="Seed of the random tokens.", group=_CHECK)

    def verifies(self, *, small: bool) -> bool:
        """Whether a model that is `small`, or one that is not, is to be compared."""
        if not self.verify_tokens:
            return False
        return small if self.verify is None else self.verify == "true"

    def __post_init__(self) -> None:
        """Raise LoraOptionError, or ConvertError for a size, for what cannot work."""
        if not self.safe_serialization:
            message = (
                "--safe_serialization false: pickled weights are read but never written. Leave it "
                "out."
            )
            raise LoraOptionError(message)
        self.dtype = SHORT_NAMES.get(self.dtype or "", self.dtype)
        parse_size(self.max_shard_size)
        if self.verify_tokens < 0:
            message = f"--verify_tokens is {self.verify_tokens}; give 0 (no check) or more."
            raise LoraOptionError(message)
        if not self.max_kl > 0:
            message = f"--max_kl is {self.max_kl}; it must be above 0."
            raise LoraOptionError(message)
