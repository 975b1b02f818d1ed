"""Casts between floating types that make no number infinite unseen.

NumPy warns of such numbers for its own types only; the types of ml_dtypes overflow in silence.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import dtype_name

# Numbers looked at in one go, so that what is made of them stays in a cache.
_BLOCK_NUMBERS = 1 << 20
_FLOATING = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def narrowed(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` as `dtype`, itself where it is of that type.

    Raises ConvertError, naming `name`, where a finite number would become infinite.
    """
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if _largest(dtype) < _largest(array.dtype):
        check_range(name, cast, array)
    return cast


def check_range(name: str, found: np.ndarray, source: np.ndarray) -> None:
    """Refuse `found` [N, ...], made of `source` [N, ...], if only the latter is finite somewhere.

    Raises ConvertError, naming `name`.
    """
    rows = max(1, _BLOCK_NUMBERS // max(1, found[:1].size)) if found.ndim else 1
    for start in range(0, len(found) if found.ndim else 1, rows):
        place = slice(start, start + rows) if found.ndim else ()
        lost = ~np.isfinite(found[place])
        if lost.any() and np.isfinite(source[place][lost]).any():
            message = (
                f"{name} holds numbers too large for {dtype_name(found.dtype)} and they would "
                "become infinite; choose bfloat16 or float32 (--dtype). If the model should have "
                "no such numbers, its files may be damaged: copy or download it again."
            )
            raise ConvertError(message)


def _largest(dtype: np.dtype) -> float:
    """The largest finite number of a floating type; 0 for every other one."""
    if dtype in _FLOATING:
        return float(np.finfo(dtype).max)
    try:
        return float(ml_dtypes.finfo(dtype).max)
    except ValueError:
        return 0.0
