"""torch's `.bin`/`.pt`/`.pth` files (torch >= 1.6): a zip of a pickle and its storages.

The zip entries are stored without compression, so tensors are memory-mapped in place, strided
views included. The pickle may only rebuild tensors. Files of older torch versions (a bare pickle)
are refused with the way out.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_convert.errors import FileFormatError
from llm_convert.files.dtypes import TORCH
from llm_convert.files.numpy_pickle import NUMPY_GLOBALS, checked_shape
from llm_convert.files.pickle_reader import Globals, PickleReader
from llm_convert.files.tensor_file import (
    ByteRange,
    FileMap,
    MappedTensors,
    StoredTensor,
    TensorInfo,
)

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LARGEST = 1 << 44


class _Storage(NamedTuple):
    dtype: np.dtype | None  # None: untyped bytes
    place: ByteRange


class _TypeName(NamedTuple):
    dtype: np.dtype | None


class _Tensor(NamedTuple):
    stored: StoredTensor


def open_torch_zip(path: Path) -> MappedTensors:
    """Map a torch file whose top level is a state dict.

    Raises:
        UnsafePickleError: the pickle uses a name that rebuilding tensors does not need.
        FileFormatError: truncated, malformed, compressed, big-endian, of torch before 1.6, or not
            a dict of tensors.
    """
    source = FileMap(path)
    entries = _entries(source)
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        message = f"{path} is a zip without a torch state dict (one data.pkl is expected)."
        raise FileFormatError(message)
    root = pickles[0].removesuffix("data.pkl")
    order = entries.get(root + "byteorder")
    if order is not None and source.data[order.start : order.stop] != b"little":
        message = f"{path} was written on a big-endian machine, which is not supported."
        raise FileFormatError(message)

    place = entries[pickles[0]]
    state = PickleReader(
        source.data,
        path,
        _GLOBALS,
        persistent=_storages(entries, root),
        start=place.start,
        stop=place.stop,
    ).load()
    if not isinstance(state, dict):
        message = f"{path} holds a {type(state).__name__}, not a state dict of tensors."
        raise FileFormatError(message)
    return MappedTensors(source, {name: _entry(path, name, item) for name, item in state.items()})


def _entry(path: Path, name: Any, item: Any) -> StoredTensor:
    if isinstance(name, str) and isinstance(item, _Tensor):
        return item.stored
    message = f"{path}: entry {str(name)[:100]!r} is no tensor but a {type(item).__name__}."
    raise FileFormatError(message)


def _entries(source: FileMap) -> dict[str, ByteRange]:
    path = source.path
    if source.data[:2] == b"\x80\x02":
        message = (
            f"{path} is of torch before 1.6 (a bare pickle). Load and save it once with a newer "
            "torch, or take the model's safetensors."
        )
        raise FileFormatError(message)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if len(set(names)) != len(names):
                message = "an entry occurs more than once"
                raise ValueError(message)
            return {entry.filename: _place(source, entry) for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        message = f"{path} is truncated or no torch file: {error}."
        raise FileFormatError(message) from error


def _place(source: FileMap, entry: zipfile.ZipInfo) -> ByteRange:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        message = f"entry {entry.filename!r} is compressed"
        raise ValueError(message)
    header = source.data[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    stop = start + entry.file_size
    if signature != b"PK\x03\x04" or stop > len(source):
        message = f"entry {entry.filename!r} lies outside the file"
        raise ValueError(message)
    return ByteRange(start, stop)


def _storages(entries: dict[str, ByteRange], root: str) -> Callable[[Any], _Storage]:
    """Turns the persistent id ("storage", type, key, device, elements) into a place."""

    def storage(identity: Any) -> _Storage:
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            message = "a storage of an unknown kind"
            raise ValueError(message)
        _, kind, key, _, elements = identity
        place = entries.get(f"{root}data/{key}") if isinstance(key, str) else None
        if place is None or not isinstance(kind, _TypeName) or type(elements) is not int:
            message = "a storage that is not in the file"
            raise ValueError(message)
        if elements * (kind.dtype.itemsize if kind.dtype else 1) > place.stop - place.start:
            message = f"storage {key} of {elements} elements is cut short"
            raise ValueError(message)
        return _Storage(kind.dtype, place)

    return storage


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or storage.dtype is None:
        message = "a tensor without a typed storage"
        raise ValueError(message)
    return _view(storage.place, storage.dtype, offset, size, stride)


def _untyped_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> _Tensor:
    """A tensor over untyped bytes (unsigned and float8 types of torch >= 2.1)."""
    if not isinstance(storage, _Storage) or not isinstance(dtype, _TypeName) or not dtype.dtype:
        message = "a tensor without a storage or a type"
        raise ValueError(message)
    return _view(storage.place, dtype.dtype, offset, size, stride)


def _view(place: ByteRange, dtype: np.dtype, offset: Any, size: Any, stride: Any) -> _Tensor:
    shape, strides = checked_shape(size), checked_shape(stride)
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
    return _Tensor(StoredTensor(info, (ByteRange(start, stop),), None if dense else strides))


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


_GLOBALS: Globals = {
    **NUMPY_GLOBALS,
    **{("torch", name): _TypeName(dtype) for name, dtype in TORCH.items()},
    ("torch.storage", "UntypedStorage"): _TypeName(None),
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _untyped_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
