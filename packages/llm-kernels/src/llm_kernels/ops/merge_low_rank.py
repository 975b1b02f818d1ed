"""A weight plus a product of low rank: what merging a LoRA adapter is."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve

TYPES = tuple(map(np.dtype, (np.float32, np.float16, ml_dtypes.bfloat16)))
"""Types that weights and sums may have."""
_LINE = 64


def memory_for_sum(
    shape: tuple[int, ...], dtype: npt.DTypeLike, *, transposed: bool = False
) -> npt.NDArray[Any]:
    """Memory [N, K] for a sum, that lies as [K, N] where `transposed`; it begins at a cache line.

    Only there are transposed sums written past the caches, which is twice as fast.
    """
    dtype = np.dtype(dtype)
    rows, columns = shape
    lying = (columns, rows) if transposed else (rows, columns)
    size = dtype.itemsize * rows * columns
    room = np.empty(size + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    out = room[start : start + size].view(dtype).reshape(lying)
    return out.T if transposed else out


def merge_low_rank(
    w: npt.NDArray[Any],
    b: npt.NDArray[np.float32],
    a: npt.NDArray[np.float32],
    scale: float = 1.0,
    *,
    out: npt.NDArray[Any] | None = None,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[Any]:
    """W + scale * (B A), summed in float32 and rounded once (Hu et al. 2021, arXiv:2106.09685).

    w [N, K]: float32, float16 or bfloat16 with dense rows, such as rows or columns of a
    C-contiguous matrix, or the transpose of such an array. b [N, r] and a [r, K]: any floats, taken
    as float32. `out` [N, K]: any of the three types, C-contiguous or the transpose of such, so that
    the sum can be transposed on the way; it may be w itself, and must not overlap w otherwise. By
    default as w lies. Returns `out`. Raises ValueError for other arrays.
    """
    if out is None:
        if w.ndim != 2:
            message = f"w has shape {list(w.shape)}; a matrix is needed."
            raise ValueError(message)
        out = memory_for_sum(w.shape, w.dtype, transposed=not _dense_rows(w))
    _check(w, out)
    b = np.float32(scale) * b.astype(np.float32, copy=False)
    a = a.astype(np.float32, copy=False)
    if _dense_rows(w):
        _merge(w, b, a, out, resolve(isa, threads))
    else:
        _merge(w.T, a.T, b.T, out.T, resolve(isa, threads))
    return out


def _merge(
    w: npt.NDArray[Any],
    b: npt.NDArray[Any],
    a: npt.NDArray[Any],
    out: npt.NDArray[Any],
    where: tuple[str, int],
) -> None:
    transposed = not out.flags.c_contiguous
    merge = extension().merge_low_rank
    b, a = np.ascontiguousarray(b), np.ascontiguousarray(a)
    dense = _bits(out.T if transposed else out)
    # NumPy gives empty arrays strides that say nothing.
    if out.size:
        merge(_bits(w), w.dtype.name, b, a, dense, out.dtype.name, transposed, *where)


def _check(w: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    for name, array, dense in (
        ("w", w, _dense_rows(w) or _dense_rows(w.T)),
        ("out", out, out.flags.c_contiguous or out.flags.f_contiguous),
    ):
        if array.dtype not in TYPES or array.ndim != 2 or not dense:
            message = (
                f"{name} is {array.dtype} {list(array.shape)}, strides {list(array.strides)}; a "
                "matrix of float32, float16 or bfloat16 with dense rows, or the transpose of one, "
                "is needed."
            )
            raise ValueError(message)
    if w.shape != out.shape:
        message = f"out has shape {list(out.shape)}; that of w, {list(w.shape)}, is needed."
        raise ValueError(message)
    same = (w.ctypes.data, w.strides, w.dtype.itemsize) == (
        out.ctypes.data,
        out.strides,
        out.dtype.itemsize,
    )
    if np.may_share_memory(w, out) and not same:
        message = "out overlaps w; pass w itself, or memory of its own."
        raise ValueError(message)


def _dense_rows(array: npt.NDArray[Any]) -> bool:
    """Whether it is a matrix whose rows are dense and follow each other at some distance."""
    size = array.dtype.itemsize
    apart = array.ndim == 2 and array.strides[1] == size and array.strides[0] % size == 0
    return array.flags.c_contiguous or (apart and array.strides[0] >= size * array.shape[1])


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, of a two-byte type as its bits."""
    return array if array.dtype.itemsize == 4 else array.view(np.uint16)
