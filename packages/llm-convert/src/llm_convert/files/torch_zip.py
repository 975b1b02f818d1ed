"""torch's `.bin`/`.pt`/`.pth` files (torch >= 1.6): a zip of a pickle and its storages.

The zip entries are stored without compression, so tensors are memory-mapped in place, strided
views included. The pickle may only rebuild tensors.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import Any

from llm_convert.errors import FileFormatError
from llm_convert.files.pickle_reader import PickleReader
from llm_convert.files.tensor_file import ByteRange, FileMap, MappedTensors
from llm_convert.files.torch_pickle import TORCH_GLOBALS, Storage, state_table, storage_at

_LOCAL_HEADER = struct.Struct("<4s22xHH")


def open_torch_zip(source: FileMap) -> MappedTensors:
    """The tensors of a mapped zip file whose top level is a state dict.

    Raises:
        UnsafePickleError: the pickle uses a name that rebuilding tensors does not need.
        FileFormatError: truncated, malformed, compressed, big-endian, or not a dict of tensors.
    """
    path = source.path
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
        TORCH_GLOBALS,
        persistent=_storages(entries, root),
        start=place.start,
        stop=place.stop,
    ).load()
    return MappedTensors(source, state_table(path, state))


def _entries(source: FileMap) -> dict[str, ByteRange]:
    path = source.path
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


def _storages(entries: dict[str, ByteRange], root: str) -> Callable[[Any], Storage]:
    """Turns the persistent id ("storage", type, key, device, elements) into a place."""

    def storage(identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            message = "a storage of an unknown kind"
            raise ValueError(message)
        _, kind, key, _, elements = identity
        place = entries.get(f"{root}data/{key}") if isinstance(key, str) else None
        return storage_at(kind, key, elements, place)

    return storage
