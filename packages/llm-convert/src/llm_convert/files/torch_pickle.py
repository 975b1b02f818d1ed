"""Tensors inside torch's pickles, as places in the file instead of tensors.

The admitted names rebuild tensors and parameters over storages; the file that holds the pickle says
where a storage lies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_convert.errors import FileFormatError
from llm_convert.files.dtypes import TORCH
from llm_convert.files.numpy_pickle import NUMPY_GLOBALS, checked_shape, checked_sizes
from llm_convert.files.pickle_reader import Globals
from llm_convert.files.tensor_file import ByteRange, StoredTensor, TensorInfo

_LARGEST = 1 << 44


class Storage(NamedTuple):
    """A storage of the file and the type of its elements."""

    dtype: np.dtype | None  # None: untyped bytes
    place: ByteRange


class TypeName(NamedTuple):
    """A storage class or element type that a pickle names."""

    dtype: np.dtype | None


class _Tensor(NamedTuple):
    stored: StoredTensor


def state_table(path: Path, state: Any) -> dict[str, StoredTensor]:
    """Name -> place for what a pickle held. Raises FileFormatError where it is no state dict."""
    if not isinstance(state, dict):
        message = f"{path} holds a {type(state).__name__}, not a state dict of tensors."
        raise FileFormatError(message)
    return {name: _entry(path, name, item) for name, item in state.items()}


def storage_at(kind: Any, key: Any, elements: Any, place: ByteRange | None) -> Storage:
    """The storage `key` of so many elements at `place`. ValueError where it is not there."""
    if place is None or not isinstance(kind, TypeName) or type(elements) is not int:
        message = "a storage that is not in the file"
        raise ValueError(message)
    if elements * (kind.dtype.itemsize if kind.dtype else 1) > place.stop - place.start:
        message = f"storage {key} of {elements} elements is cut short"
        raise ValueError(message)
    return Storage(kind.dtype, place)


def _entry(path: Path, name: Any, item: Any) -> StoredTensor:
    if isinstance(name, str) and isinstance(item, _Tensor):
        return item.stored
    message = f"{path}: entry {str(name)[:100]!r} is no tensor but a {type(item).__name__}."
    raise FileFormatError(message)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, Storage) or storage.dtype is None:
        message = "a tensor without a typed storage"
        raise ValueError(message)
    return _view(storage.place, storage.dtype, offset, size, stride)


def _untyped_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> _Tensor:
    """A tensor over untyped bytes (unsigned and float8 types of torch >= 2.1)."""
    if not isinstance(storage, Storage) or not isinstance(dtype, TypeName) or not dtype.dtype:
        message = "a tensor without a storage or a type"
        raise ValueError(message)
    return _view(storage.place, dtype.dtype, offset, size, stride)


def _view(place: ByteRange, dtype: np.dtype, offset: Any, size: Any, stride: Any) -> _Tensor:
    shape, strides = checked_shape(size, dtype.itemsize), checked_sizes(stride)
    if type(offset) is not int or offset < 0 or len(shape) != len(strides):
        message = "a tensor with an invalid offset or strides"
        raise ValueError(message)
    span = 0
    if 0 not in shape:
        span = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    start = place.start + offset * dtype.itemsize
    stop = start + span * dtype.itemsize
    if stop > place.stop:
        message = f"a tensor of {shape} that ends outside its storage"
        raise ValueError(message)
    info = TensorInfo(dtype, shape)
    if info.nbytes > _LARGEST:  # strides of zero repeat what is there
        message = f"a tensor of {shape}, larger than any memory"
        raise ValueError(message)
    dense = info.nbytes == stop - start and strides == _dense_strides(shape, strides)
    # Along axes of size 1 nothing is stepped, and a file may state any stride, beyond 64 bits too.
    steps = tuple(step if n > 1 else 0 for n, step in zip(shape, strides, strict=True))
    return _Tensor(StoredTensor(info, (ByteRange(start, stop),), None if dense else steps))


def _dense_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """C-order strides; those of axes of size 1 do not matter and are taken as given."""
    dense, step = list(strides), 1
    for axis in range(len(shape) - 1, -1, -1):
        if shape[axis] != 1:
            dense[axis] = step
        step *= shape[axis]
    return tuple(dense)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


TORCH_GLOBALS: Globals = {
    **NUMPY_GLOBALS,
    **{("torch", name): TypeName(dtype) for name, dtype in TORCH.items()},
    ("torch.storage", "UntypedStorage"): TypeName(None),
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _untyped_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
