"""Transposition of a matrix, into memory of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve

ITEM_BYTES = (2, 4)
"""Sizes of the items that it moves, whatever they mean."""


def transpose(
    x: npt.NDArray[Any],
    *,
    out: npt.NDArray[Any] | None = None,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[Any]:
    """x [N, K] as [K, N], C-contiguous: NumPy's `ascontiguousarray(x.T)`, many times as fast.

    x: any type of two or four bytes (float16, bfloat16, float32, ...) with dense rows, such as
    columns of a C-contiguous matrix. `out`: C-contiguous [K, N] of the same type to write into;
    it must not overlap x. Raises ValueError for any other array.
    """
    size = x.dtype.itemsize
    if size not in ITEM_BYTES:
        message = f"x has dtype {x.dtype}; items of 2 or 4 bytes are needed."
        raise ValueError(message)
    if out is None:
        out = np.empty(x.shape[::-1], x.dtype)
    if out.dtype != x.dtype or not out.flags.c_contiguous:
        message = f"out is {out.dtype}, or not C-contiguous; C-contiguous {x.dtype} is needed."
        raise ValueError(message)
    bits = np.uint16 if size == 2 else np.uint32
    native = extension().transpose16 if size == 2 else extension().transpose32
    # NumPy gives empty arrays strides that say nothing.
    if x.size:
        native(x.view(bits), out.view(bits), *resolve(isa, threads))
    return out
