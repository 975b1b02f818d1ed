"""A weight with its low-rank addition, summed in float32 and rounded once.

llm-kernels reads the weight once and writes the sum once, transposed on the way where it is stored
the other way round. NumPy does the same some rows at a time where the kernels are not built, and
for types that they do not take.
"""

from __future__ import annotations

import logging

import numpy as np

from llm_convert.files.page_memory import PageMemory
from llm_kernels import ops
from llm_kernels.errors import NativeUnavailableError
from llm_kernels.native import extension
from llm_kernels.ops.merge_low_rank import TYPES

logger = logging.getLogger(__name__)

# What fits a processor's cache in float32.
_BLOCK_NUMBERS = 1 << 18


def low_rank_sum(
    base: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    scaling: float,
    dtype: np.dtype,
    *,
    memory: PageMemory,
    transposed: bool | None = None,
) -> np.ndarray:
    """base [N, K] + scaling * (left [N, r] @ right [r, K]), of `dtype`, in `memory`.

    transposed: whether the sum lies in memory as [K, N]; None: as the base does.
    """
    if transposed is None:
        transposed = _lies_transposed(base)
    out = memory.array(base.shape[::-1], dtype).T if transposed else memory.array(base.shape, dtype)
    if base.dtype in TYPES and dtype in TYPES and _native():
        rows = base.T if _lies_transposed(base) else base
        if rows.strides[-1] != rows.itemsize:
            base = np.ascontiguousarray(base)
        # One thread sums, while others hash and write.
        ops.merge_low_rank(base, left, right, scaling, out=out, threads=1)
    elif _lies_transposed(base):
        _sum(base.T, right.T, left.T, scaling, out.T)
    else:
        _sum(base, left, right, scaling, out)
    return out


def _lies_transposed(base: np.ndarray) -> bool:
    return abs(base.strides[0]) < abs(base.strides[1])


def _sum(
    base: np.ndarray, left: np.ndarray, right: np.ndarray, scaling: float, out: np.ndarray
) -> None:
    factors = np.float32(scaling) * left.astype(np.float32, copy=False)
    right = np.ascontiguousarray(right, np.float32)
    rows = max(1, _BLOCK_NUMBERS // base.shape[1])
    for start in range(0, len(base), rows):
        place = slice(start, start + rows)
        block = base[place].astype(np.float32)
        block += factors[place] @ right
        out[place] = block


def _native() -> bool:
    try:
        extension()
    except NativeUnavailableError:
        logger.info("Without the native kernels, merging weights is several times as slow.")
        return False
    return True
