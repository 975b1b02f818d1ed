"""The options of `llm infer export`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_infer.errors import UnsupportedError

_MODEL = "Model"
_OUTPUT = "Output"


@dataclass(kw_only=True)
class ExportOptions:
    """Write a model in the form that `llm infer --mode static` runs.

    With --inference_model false: a Paddle static graph (model.json and model.pdiparams, float32)
    with the tokenizer beside it, which also other programs run through paddle.inference.
    """

    model_name_or_path: str = option(
        help="Folder of the model: HF or PaddleNLP layout, dense or quantized; or its name on a "
        "hub, org/name or org/name@revision.",
        group=_MODEL,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=_MODEL
    )
    lora_path: str | None = option(
        None, help="Folder of a LoRA adapter; it is merged into what is written.", group=_MODEL
    )
    dtype: str | None = option(None, help="float32, which is the default.", group=_MODEL)
    device: str = option("cpu", help="Where to run: cpu.", group=_MODEL)
    inference_model: bool = flag(
        True,
        help="Write for the native engine; false: a Paddle static graph.",
        group=_OUTPUT,
    )
    output_path: str = option(help="Folder to write.", group=_OUTPUT)
    model_prefix: str = option("model", help="Stem of the graph's files.", group=_OUTPUT)
    overwrite: bool = flag(False, help="Replace what this command wrote there.", group=_OUTPUT)

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        if self.device != "cpu":
            message = (
                f"--device {self.device} is not supported: this version runs on the CPU; use "
                "--device cpu."
            )
            raise UnsupportedError(message)
        if self.dtype not in (None, "float32"):
            message = (
                f"--dtype {self.dtype} is not supported: graphs are float32; leave the option out."
            )
            raise UnsupportedError(message)
        stem = self.model_prefix
        if not stem or "/" in stem or stem in ("config", "generation_config", "tokenizer"):
            message = f"--model_prefix is {stem!r}; give a plain stem such as model."
            raise UnsupportedError(message)
