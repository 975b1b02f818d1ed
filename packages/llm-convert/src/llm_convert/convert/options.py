"""Options of `llm convert`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_convert.shard_size import DEFAULT_SHARD, parse_size
from llm_convert.type_names import SHORT_NAMES

_SOURCES = ("from_torch", "to_torch", "from_meta", "gguf")
_EIGHT_BITS = ("float8", "int8")
_SWITCH = {"true": True, "false": False}


@dataclass(kw_only=True)
class ConvertOptions:
    """Convert model weights between torch's and PaddleNLP's files, without torch or paddle.

    Tensors are streamed: memory holds about one of them at a time, however large the model is.
    The tokenizer's files and generation_config.json come along. `--verify MODEL --golden FILE`
    instead compares a model with logits that were saved from its original implementation.
    """

    from_torch: str | None = option(
        None,
        help="Folder of a Hugging Face checkpoint (safetensors or .bin), or its name on a hub; "
        "written as PaddleNLP's.",
        group="Input and output",
    )
    to_torch: str | None = option(
        None,
        help="Folder of a PaddleNLP checkpoint (safetensors or .pdparams); written as a Hugging "
        "Face checkpoint.",
        group="Input and output",
    )
    from_meta: str | None = option(
        None,
        help="Folder of LLaMA as Meta distributes it: params.json and consolidated.NN.pth.",
        group="Input and output",
    )
    gguf: str | None = option(
        None,
        help="GGUF file of F32, F16, BF16, Q8_0 or Q4_0 tensors (needs the extra gguf); quantized "
        "ones become float32, or --dtype.",
        group="Input and output",
    )
    base_model_name_or_path: str | None = option(
        None,
        help="For an adapter (PEFT's or PaddleNLP's LoRA): its base model, where it names none.",
        group="Input and output",
    )
    from_aistudio: bool = flag(
        False,
        help="Load a model that is no folder here from AI Studio's hub.",
        group="Input and output",
    )
    output_path: str | None = option(
        None, help="Folder to write; it appears whole.", group="Input and output"
    )
    overwrite: bool = flag(
        False, help="Replace an earlier output at output_path.", group="Input and output"
    )
    to: str | None = option(
        None,
        help="Layout to write when it is not the other one: re-cast or re-shard a checkpoint, or "
        "write one GGUF file.",
        choices=("paddlenlp", "hf", "gguf"),
        group="Weights",
    )
    dtype: str | None = option(
        None,
        help="Type of all floating weights; without it every tensor keeps its own. float8 (e4m3) "
        "and int8: the linears, with a scale an output, in Hugging Face's layout; q8_0 only with "
        "--to gguf. Short names (bf16) will do.",
        choices=("float32", "float16", "bfloat16", "float8", "int8", "q8_0", *SHORT_NAMES),
        group="Weights",
    )
    max_shard_size: str = option(
        DEFAULT_SHARD,
        help="Largest file, such as 4GB or 512MiB; a tensor is never split.",
        group="Weights",
    )

    verify: str | None = option(
        None,
        help="true or false: run the source and what was written on 256 random tokens and write "
        "certificate.json; by default for models under 2 B parameters. With --golden: the folder "
        "or the GGUF file of the model to verify, and nothing is converted.",
        group="Verification",
        bare="true",
    )
    max_kl: float | None = option(
        None,
        help="Most nats (mean KL divergence) between source and result; beyond, nothing is "
        "written. Turns --verify on.",
        group="Verification",
    )
    golden: str | None = option(
        None,
        help="File of logits saved from the original implementation (.npz with prompt_i int64 "
        "[T], logits_i float32 [T, V], optionally generated int64 [N, G]).",
        group="Verification",
    )
    decoder: str = option(
        "reference",
        help="What computes the logits that are compared with --golden.",
        choices=("reference", "paddle", "native"),
        group="Verification",
    )
    tolerance: float = option(
        1e-4,
        help="Largest difference of a logit from --golden; beyond, the exit code is 1.",
        group="Verification",
    )

    def __post_init__(self) -> None:
        """One purpose: a model against a golden file, or exactly one source to convert."""
        if self.golden is not None:
            self._check_golden()
            return
        sources = {f"--{name}": getattr(self, name) for name in _SOURCES}
        named = [option for option, path in sources.items() if path is not None]
        if not named and self.verify is not None and self.verify.lower() not in _SWITCH:
            message = (
                f"--verify {self.verify} needs --golden: the .npz of logits to compare with. To "
                "convert, name a source and --output_path."
            )
            raise UserError(message)
        if len(named) != 1:
            message = (
                f"Name one of {', '.join(sources)} (now: {' and '.join(named) or 'none'}): the "
                "checkpoint to convert."
            )
            raise UserError(message)
        if self.output_path is None:
            message = "Missing --output_path: the folder to write."
            raise UserError(message)
        self.dtype = SHORT_NAMES.get(self.dtype or "", self.dtype)
        self._check_dtype()
        self._check_size()
        if self.verify is not None and self.verify.lower() not in _SWITCH:
            message = (
                f"--verify is {self.verify!r}; a conversion takes true or false. To compare a "
                "model with saved logits, name them with --golden."
            )
            raise UserError(message)
        if self.max_kl is not None and not self.max_kl > 0:
            message = (
                f"--max_kl is {self.max_kl:g} nats; it must be above 0. For a result that answers "
                "as the source does but for rounding in float32, use 1e-9."
            )
            raise UserError(message)
        if self.max_kl is not None and self.verified is False:
            message = "--max_kl needs the verification that --verify false leaves out. Drop one."
            raise UserError(message)

    @property
    def verified(self) -> bool | None:
        """Whether to certify a conversion; None: as `verify.certificate.certified` decides."""
        return None if self.verify is None else _SWITCH[self.verify.lower()]

    def _check_dtype(self) -> None:
        if self.dtype == "q8_0" and self.to != "gguf":
            message = "--dtype q8_0 is a type of GGUF files; add --to gguf."
            raise UserError(message)
        if self.dtype not in _EIGHT_BITS:
            return
        if self.to == "gguf":
            message = (
                f"--dtype {self.dtype} is no type of GGUF files; its type of eight bits is q8_0."
            )
            raise UserError(message)
        if self.to == "paddlenlp" or (self.to is None and self.to_torch is None):
            message = (
                f"--dtype {self.dtype}: weights of eight bits and their scales are stored in "
                "Hugging Face's layout, which every command here reads; PaddleNLP's has no place "
                "for them. Add --to hf."
            )
            raise UserError(message)

    def _check_size(self) -> None:
        parse_size(self.max_shard_size)
        if self.to == "gguf" and self.max_shard_size != DEFAULT_SHARD:
            message = (
                f"--max_shard_size is {self.max_shard_size}, but --to gguf writes one file. Leave "
                "it out."
            )
            raise UserError(message)

    def _check_golden(self) -> None:
        if self.verify is None or self.verify.lower() in _SWITCH:
            message = (
                "--golden needs the model to compare with it: --verify FOLDER, or a GGUF file."
            )
            raise UserError(message)
        if self.output_path or any(getattr(self, name) for name in _SOURCES):
            message = (
                "--golden verifies a model that is there; leave out --output_path and the source, "
                "or convert first."
            )
            raise UserError(message)
        if not self.tolerance > 0:
            message = f"--tolerance is {self.tolerance:g}; it must be above 0."
            raise UserError(message)
