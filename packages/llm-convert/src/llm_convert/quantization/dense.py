"""Quantized weights as arrays of float32, the same numbers as `dequantize` gives.

float8 is looked up in a table of its 256 numbers, some rows at a time: several times as fast as
the cast of ml_dtypes, and nothing but the result is in memory.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from llm_convert.layout import Weight
from llm_kernels.weights import Float8Weight, RoundedInputs

_NUMBERS = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
# Entries looked up at a time, so that they are still in the cache when they are scaled.
_ENTRIES = 1 << 18


def dense(weight: Weight) -> np.ndarray:
    """A weight [N, K] as an array: one that is dense as it is, others in float32."""
    if isinstance(weight, np.ndarray):
        return weight
    held = weight.weight if isinstance(weight, RoundedInputs) else weight
    if not isinstance(held, Float8Weight):
        return weight.dequantize()
    rows, columns = held.shape
    found = np.empty(held.shape, np.float32)
    codes = held.codes.view(np.uint8)
    step = max(1, _ENTRIES // max(1, columns))
    for start in range(0, rows, step):
        part = found[start : start + step]
        part[...] = _NUMBERS[codes[start : start + step]]
        grouped = part.reshape(len(part), -1, held.group_size)
        grouped *= held.scales[start : start + step, :, None]
    return found
