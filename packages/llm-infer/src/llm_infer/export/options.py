"""The options of `llm infer export`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_infer.errors import UnsupportedError
from llm_infer.options.refusals import QUANT_TYPES
from llm_infer.settings import Precision

_MODEL = "Model"
_OUTPUT = "Output"


@dataclass(kw_only=True)
class ExportOptions:
    """Write a model in the form that `llm infer --mode static` runs.

    For the native engine: a packed bundle, which is mapped instead of loaded, quantized as asked
    for. With --inference_model false: a Paddle static graph (model.json and model.pdiparams,
    float32) with the tokenizer beside it, which also other programs run through paddle.inference.
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
    dtype: str | None = option(
        None,
        help="Data type of unquantized weights: float32 (the default; bfloat16 files stay as they "
        "are), or bfloat16 (bundles only).",
        choices=("float32", "bfloat16"),
        group=_MODEL,
    )
    quant_type: str | None = option(
        None,
        help="Round the linear weights of a bundle: weight_only_int8, weight_only_int4, a8w8 or "
        "a8w8_fp8.",
        choices=QUANT_TYPES,
        group=_MODEL,
    )
    act_quant_type: str = option(
        "int8_block",
        help="How a bundle's int8 and int4 weights round their inputs: int8_block, int8_token or "
        "none.",
        choices=("int8_block", "int8_token", "none"),
        group=_MODEL,
    )
    quantize_head: bool = flag(
        True, help="Beside quantized weights, keep a bundle's head in int8 too.", group=_MODEL
    )
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
        if not self.inference_model and (self.dtype == "bfloat16" or self.quant_type):
            given = f"--quant_type {self.quant_type}" if self.quant_type else "--dtype bfloat16"
            message = (
                f"{given} is for packed bundles: Paddle graphs are float32. Leave it out, or leave "
                "out --inference_model false."
            )
            raise UnsupportedError(message)
        stem = self.model_prefix
        if not stem or "/" in stem or stem in ("config", "generation_config", "tokenizer"):
            message = f"--model_prefix is {stem!r}; give a plain stem such as model."
            raise UnsupportedError(message)

    def precision(self) -> Precision:
        """What a bundle's weights are kept as."""
        return Precision(
            dtype=self.dtype or "float32",
            quant_type=self.quant_type,
            act_quant_type=None if self.act_quant_type == "none" else self.act_quant_type,
            quantize_head=self.quantize_head,
        )
