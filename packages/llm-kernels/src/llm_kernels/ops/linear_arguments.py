"""A linear's weight as the extension takes it: which packing, and its arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.weights import (
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    PackedArrays,
    RoundedInputs,
)


def _inputs(rounding: InputRounding | None) -> tuple[str, float]:
    return ("exact", 0.0) if rounding is None else (rounding.kind, rounding.scale)


def arguments(weight: Any, bias: npt.NDArray[np.float32] | None) -> tuple[str, tuple[Any, ...]]:
    """Name of the packing, and its arguments: arrays, bias, and how inputs are rounded."""
    if isinstance(weight, PackedArrays):
        arrays = (weight.header, weight.codes, weight.scales, weight.offsets)
        return "borrowed", (*arrays, bias, *_inputs(weight.rounding))
    inputs = _inputs(None)
    if isinstance(weight, RoundedInputs):
        inputs = _inputs(weight.rounding)
        weight = weight.weight
    if isinstance(weight, Int4Weight):
        return "int4", (weight.packed, weight.scales, weight.zeros, bias, *inputs)
    if isinstance(weight, Int8Weight):
        return "int8", (weight.codes, weight.scales, bias, *inputs)
    if isinstance(weight, Float8Weight):
        return "float8", (weight.codes.view(np.uint8), weight.scales, bias, *inputs)
    if weight.dtype == ml_dtypes.bfloat16:
        return "bfloat16", (weight.view(np.uint16), bias, *inputs)
    return "float32", (weight, bias)
