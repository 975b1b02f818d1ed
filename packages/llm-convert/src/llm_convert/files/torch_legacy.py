"""Files that torch wrote before 1.6 (or still writes when asked): pickles one after the other.

Three of them say what the file is, the fourth is the state dict, the fifth lists the storages that
follow, each with its number of elements. The state is read twice: where a storage lies is known
only behind it.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable
from typing import Any

from llm_convert.errors import FileFormatError
from llm_convert.files.pickle_reader import PickleReader
from llm_convert.files.tensor_file import ByteRange, FileMap, MappedTensors
from llm_convert.files.torch_pickle import TORCH_GLOBALS, Storage, TypeName, state_table, storage_at

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_FAR = 1 << 62


def open_torch_legacy(source: FileMap) -> MappedTensors:
    """The tensors of a mapped file of this kind whose top level is a state dict.

    Raises:
        UnsafePickleError: a pickle uses a name that rebuilding tensors does not need.
        FileFormatError: truncated, malformed, big-endian, or not a dict of tensors.
    """
    path = source.path
    magic, at = _read(source, 0)
    if magic != _MAGIC:
        message = (
            f"{path} is a bare pickle, and not one of torch. Save it once with torch.save, or take "
            "the model's safetensors."
        )
        raise FileFormatError(message)
    protocol, at = _read(source, at)
    system, at = _read(source, at)
    if protocol != _PROTOCOL or not isinstance(system, dict):
        message = (
            f"{path} is of an unknown version of torch's files ({reprlib.repr(protocol)[:20]})."
        )
        raise FileFormatError(message)
    if system.get("little_endian") is not True:
        message = f"{path} was written on a big-endian machine, which is not supported."
        raise FileFormatError(message)
    begin = at
    kinds: dict[str, tuple[TypeName, int]] = {}
    _, at = _read(source, begin, _noted(kinds))
    keys, at = _read(source, at)
    places = _places(source, keys, kinds, at)
    state, _ = _read(source, begin, _found(places))
    return MappedTensors(source, state_table(path, state))


def _read(
    source: FileMap, start: int, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """The pickle at `start`, and where it ends."""
    reader = PickleReader(
        source.data, source.path, TORCH_GLOBALS, persistent=persistent, start=start
    )
    return reader.load(), reader.position


def _identity(value: Any) -> tuple[TypeName, str, int]:
    """Type, key and elements of ("storage", type, key, device, elements, view)."""
    if not isinstance(value, tuple) or len(value) != 6 or value[0] != "storage":
        message = "a storage of an unknown kind"
        raise ValueError(message)
    _, kind, key, _, elements, view = value
    if view is not None:
        message = "a view of a storage, which torch wrote before 0.4"
        raise ValueError(message)
    if not isinstance(kind, TypeName) or not isinstance(key, str) or type(elements) is not int:
        message = "a malformed storage"
        raise ValueError(message)
    return kind, key, elements


def _noted(kinds: dict[str, tuple[TypeName, int]]) -> Callable[[Any], Any]:
    """Notes what storages there are; where they lie, and so how far they go, is not known yet."""

    def note(value: Any) -> Any:
        kind, key, elements = _identity(value)
        if kinds.setdefault(key, (kind, elements)) != (kind, elements):
            message = f"storage {key} with two types or sizes"
            raise ValueError(message)
        return Storage(kind.dtype, ByteRange(0, _FAR))

    return note


def _found(places: dict[str, ByteRange]) -> Callable[[Any], Any]:
    def find(value: Any) -> Any:
        kind, key, elements = _identity(value)
        return storage_at(kind, key, elements, places.get(key))

    return find


def _places(
    source: FileMap, keys: Any, kinds: dict[str, tuple[TypeName, int]], at: int
) -> dict[str, ByteRange]:
    """Where the storages lie: each is an int64 number of elements, then the elements."""
    if not isinstance(keys, list) or len({key for key in keys if isinstance(key, str)}) < len(keys):
        message = f"{source.path}: the list of its storages is malformed."
        raise FileFormatError(message)
    places = {}
    for key in keys:
        kind, elements = kinds.get(key, (None, 0))
        head = source.data[at : at + 8]
        if kind is None or len(head) < 8 or struct.unpack("<q", head)[0] != elements:
            message = f"{source.path} is truncated or malformed: storage {key[:50]} is not there."
            raise FileFormatError(message)
        size = elements * (kind.dtype.itemsize if kind.dtype else 1)
        places[key] = ByteRange(at + 8, at + 8 + size)
        at += 8 + size
        if elements < 0 or at > len(source):
            message = f"{source.path} is truncated: storage {key[:50]} ends outside the file."
            raise FileFormatError(message)
    return places
