"""What the arrays of a quantized weight must be; a ShapeError says what is needed instead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_kernels.errors import ShapeError


def at_least_tiny(scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`scales`, where a group of zeros gets a scale that can be divided by."""
    return np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)


def check_array(
    name: str,
    array: npt.NDArray[np.generic],
    dtype: npt.DTypeLike,
    ndim: int,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Raise ShapeError unless `array` has this dtype, number of dimensions and shape."""
    if array.dtype != np.dtype(dtype) or array.ndim != ndim:
        message = (
            f"{name} is {array.dtype} with {array.ndim} dimensions; "
            f"{np.dtype(dtype)} with {ndim} is needed."
        )
        raise ShapeError(message)
    if shape is not None and array.shape != shape:
        message = f"{name} has shape {array.shape}, expected {shape}."
        raise ShapeError(message)


def check_scales(scales: npt.NDArray[np.generic], shape: tuple[int, int]) -> None:
    """Raise ShapeError unless `scales` is float32 [N, groups] for codes of shape [N, K]."""
    check_array("scales", scales, np.float32, 2)
    rows, columns = shape
    groups = scales.shape[1]
    if scales.shape[0] != rows or not groups or columns % groups:
        message = (
            f"scales has shape {scales.shape}; for codes of shape {shape} it must "
            f"have {rows} rows and a number of columns that divides {columns}."
        )
        raise ShapeError(message)


def check_groups(columns: int, group_size: int, multiple: int) -> None:
    """Raise ShapeError unless groups of `group_size` divide `columns` and suit the kernels."""
    fits = group_size > 0 and columns % group_size == 0
    if not fits or (group_size % multiple and group_size != columns):
        also = f" and be a multiple of {multiple}" if multiple > 1 else ""
        message = (
            f"group_size is {group_size}; for {columns} inputs it must divide {columns}{also}, "
            f"or be {columns} itself."
        )
        raise ShapeError(message)
