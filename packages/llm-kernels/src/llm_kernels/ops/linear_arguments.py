"""A linear's weight as the extension takes it: which packing, and its arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.weights import Float8Weight, Int4Weight, Int8Weight, RoundedInputs

_EXACT = ("exact", 0.0)


def arguments(weight: Any, bias: npt.NDArray[np.float32] | None) -> tuple[str, tuple[Any, ...]]:
    """Name of the packing, and its arguments: arrays, bias, and how inputs are rounded."""
    inputs: tuple[str, float] = _EXACT
    if isinstance(weight, RoundedInputs):
        inputs = (weight.rounding.kind, weight.rounding.scale)
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
