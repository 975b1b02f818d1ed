"""A model's parameters as an engine keeps them: an adapter merged, rounded as was asked for.

weight = chosen_weights(open_model(folder), Precision(quant_type="weight_only_int4"))
weight(ParameterKey("q", layer=0))            # an Int4Weight
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from llm_convert.lora import LoraAdapter, check_base, merged, read_lora
from llm_convert.model import Model
from llm_infer.bundle.reading import BundledModel
from llm_infer.described import DescribedModel
from llm_infer.errors import UnsupportedError
from llm_infer.options.refusals import QUANT_TYPES
from llm_infer.quantize import (
    GetWeight,
    Weight,
    to_bfloat16_inputs,
    to_int8_head,
    with_bfloat16_inputs,
    with_bfloat16_weights,
    with_quantized_linears,
    with_rounded_inputs,
)
from llm_infer.settings import Precision
from llm_infer.sources import Source
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight

logger = logging.getLogger(__name__)

ConvertHead = Callable[[np.ndarray], Weight]
"""From the head's floats [V, E] to what is kept of them."""


def chosen_weights(
    model: Source, precision: Precision, lora_path: str | Path | None = None
) -> GetWeight:
    """Canonical parameters, with an adapter and rounded as was asked for. Raises InferError."""
    read = read_weights(model, precision.quant_type, lora_path)
    return with_precision(model, precision, read)


def read_weights(model: Source, quant_type: str | None, lora_path: str | Path | None) -> GetWeight:
    """Canonical parameters, with an adapter merged. Raises InferError where that or `quant_type`
    cannot be.
    """
    if isinstance(model, BundledModel):
        _refuse_changes(model, quant_type, lora_path)
        return model.weight
    if lora_path is not None and isinstance(model, Model):
        return merged(model, read_adapter(model, lora_path))
    if quant_type:
        _refuse_quantized(model, quant_type)
    return partial(_without_padding, model)


def _without_padding(model: Model | DescribedModel, key: ParameterKey) -> Weight:
    """A parameter; files fill rows of int4 up to whole words, which the kernels do without."""
    value = model.weight(key)
    if not isinstance(value, Int4Weight):
        return value
    return replace(value, packed=np.ascontiguousarray(value.packed))


def with_precision(model: Source, precision: Precision, weight: GetWeight) -> GetWeight:
    """`weight`, rounded as was asked for; a bundle is kept as it is."""
    if isinstance(model, BundledModel):
        return weight
    weight = _quantized(weight, precision.quant_type)
    weight = with_bfloat16_weights(weight) if precision.dtype == "bfloat16" else weight
    if precision.act_quant_type is None:
        return weight
    weight = with_bfloat16_inputs(weight) if precision.rounds_to_bfloat16 else weight
    return with_rounded_inputs(weight, precision.act_quant_type)


def head_converter(model: Source, precision: Precision) -> ConvertHead | None:
    """What the head's floats are kept as: int8 beside quantized linears; in bfloat16 over inputs in
    bfloat16, unless the embedding's rows are read from it; None: as they are.
    """
    if not precision.quantize_head:
        return None
    if precision.quant_type or model.quantization is not None:
        return to_int8_head
    return to_bfloat16_inputs if precision.rounds_to_bfloat16 and not model.sizes.tied else None


def read_adapter(model: Model, path: str | Path) -> LoraAdapter:
    """An adapter of `model`; the log says where nothing proves that it is. Raises AdapterError."""
    adapter = read_lora(path, model)
    if not check_base(path, model):
        logger.info("%s does not say which weights its base had; shapes fit.", path)
    return adapter


def _refuse_changes(
    model: BundledModel, quant_type: str | None, lora_path: str | Path | None
) -> None:
    for name, value in (("quant_type", quant_type), ("lora_path", lora_path)):
        if value:
            message = (
                f"--{name} cannot change a packed bundle ({model.path}). Give it to `llm infer "
                "export`, or run the model's own files with --mode dynamic."
            )
            raise UnsupportedError(message)


def _quantized(weight: GetWeight, quant_type: str | None) -> GetWeight:
    if quant_type is None:
        return weight
    if quant_type not in QUANT_TYPES:
        message = f"quant_type is {quant_type!r}; possible: {', '.join(QUANT_TYPES)}."
        raise UnsupportedError(message)
    return with_quantized_linears(weight, quant_type)


def _refuse_quantized(model: Source, quant_type: str) -> None:
    if model.quantization is None:
        return
    bits = sorted({scheme.num_bits for scheme in model.quantization.schemes.values()})
    kinds = " and ".join(f"int{number}" for number in bits)
    message = (
        f"--quant_type {quant_type} cannot be applied: {model.path} is quantized to {kinds} "
        "already, and runs as it is. Leave the option out."
    )
    raise UnsupportedError(message)
