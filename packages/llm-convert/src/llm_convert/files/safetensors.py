"""Safetensors files: 8 bytes of header length, a JSON header, then the tensors back to back.

The reader maps the file and accepts only headers in which every tensor lies inside the file, has
exactly the bytes its shape and type need, and overlaps no other. The writer streams: the header is
known from names, types and shapes alone, so only one tensor is in memory at a time.
Format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import reprlib
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_cli.streamed_file import PAGE_BYTES
from llm_convert.errors import FileFormatError
from llm_convert.files.array_writer import ArrayWriter
from llm_convert.files.dtypes import SAFETENSORS, SAFETENSORS_NAMES
from llm_convert.files.json_file import parse_json
from llm_convert.files.tensor_file import (
    MAX_SIZE,
    ByteRange,
    FileMap,
    MappedTensors,
    StoredTensor,
    TensorInfo,
    check_shape,
)

# The reference implementation's limit; a header of 100 MB would name a million tensors.
MAX_HEADER_BYTES = 100_000_000
_FIELDS = {"dtype", "shape", "data_offsets"}


def open_safetensors(path: Path) -> MappedTensors:
    """Map a .safetensors file; `.metadata` holds the texts of its `__metadata__`.

    Raises:
        FileFormatError: missing, truncated or malformed; the message says where.
    """
    source = FileMap(path)
    if len(source) < 8:
        message = f"{path} is truncated: {len(source)} bytes, a safetensors file has at least 8."
        raise FileFormatError(message)
    (length,) = struct.unpack("<Q", source.data[:8])
    if length > MAX_HEADER_BYTES:
        message = (
            f"{path}: the header claims {length} bytes, the limit is {MAX_HEADER_BYTES}. "
            "This is not a safetensors file."
        )
        raise FileFormatError(message)
    if 8 + length > len(source):
        message = (
            f"{path} is truncated: its header needs {8 + length} bytes, the file has "
            f"{len(source)}. Copy or download it again."
        )
        raise FileFormatError(message)
    header = parse_json(source.data[8 : 8 + length], path)
    metadata = _metadata(path, header.pop("__metadata__", {}))
    begin, size = 8 + length, len(source) - 8 - length
    table = {name: _entry(path, name, entry, begin, size) for name, entry in header.items()}
    _check_ranges(path, table, begin, len(source))
    return MappedTensors(source, table, metadata)


def _metadata(path: Path, metadata: Any) -> dict[str, str]:
    if isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values()):
        return metadata
    message = f"{path}: __metadata__ must map names to texts."
    raise FileFormatError(message)


def _entry(path: Path, name: str, entry: Any, begin: int, size: int) -> StoredTensor:
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        message = f"{path}: tensor {name} must have exactly dtype, shape and data_offsets."
        raise FileFormatError(message)
    dtype = SAFETENSORS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        message = (
            f"{path}: tensor {name} has dtype {reprlib.repr(entry['dtype'])}; supported are "
            f"{', '.join(SAFETENSORS)}."
        )
        raise FileFormatError(message)
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        message = (
            f"{path}: tensor {name} has shape {reprlib.repr(shape)} at data_offsets "
            f"{reprlib.repr(offsets)}; both are lists of integers from 0 to {MAX_SIZE}."
        )
        raise FileFormatError(message)
    try:
        check_shape(shape, dtype.itemsize)
    except ValueError as error:
        message = f"{path}: tensor {name} has {error}."
        raise FileFormatError(message) from error
    start, stop = offsets
    info = TensorInfo(dtype, tuple(shape))
    if stop - start != info.nbytes:
        message = (
            f"{path}: tensor {name} of {entry['dtype']} {shape} needs {info.nbytes} bytes, its "
            f"data_offsets {offsets} give {stop - start}."
        )
        raise FileFormatError(message)
    if stop > size:
        message = (
            f"{path} is truncated: tensor {name} ends at byte {begin + stop}, the file has "
            f"{begin + size}. Copy or download it again."
        )
        raise FileFormatError(message)
    return StoredTensor(info, (ByteRange(begin + start, begin + stop),))


def _sizes(value: Any) -> bool:
    """Whether a JSON value is a list of integers (no booleans) from 0 to MAX_SIZE."""
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size <= MAX_SIZE for size in value
    )


def _check_ranges(path: Path, table: Mapping[str, StoredTensor], begin: int, end: int) -> None:
    ranges = sorted(
        (piece.start, piece.stop, name)
        for name, stored in table.items()
        for piece in stored.pieces
        if isinstance(piece, ByteRange)
    )
    for (_, stop, name), (start, _, following) in pairwise([(0, begin, "the header"), *ranges]):
        if start < stop:
            message = f"{path}: the bytes of {following} overlap those of {name}."
            raise FileFormatError(message)
        if start > stop:
            message = f"{path}: {start - stop} bytes before {following} belong to no tensor."
            raise FileFormatError(message)
    last = ranges[-1][1] if ranges else begin
    if last != end:
        message = f"{path}: {end - last} bytes after the last tensor belong to no tensor."
        raise FileFormatError(message)


def write_safetensors(
    path: Path,
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a .safetensors file, asking `read(name)` for one tensor after the other.

    The old file, if any, stays in place until the new one is complete.

    Args:
        tensors: type and shape of each tensor, in the order they are asked for; larger element
            types come first in the file so that each tensor starts aligned, and what is no whole
            number of pages last, so that the large ones start at a page.
        read: the array of a name, exactly of that type and shape.
        metadata: texts for `__metadata__`; `{"format": "pt"}` is what torch tools look for.
        written: told the bytes written after each piece, for a progress bar.

    Raises:
        FileFormatError: `read` gave another type or shape than announced, or an element type
            that the format does not have.
    """
    ordered = sorted(tensors, key=lambda name: _place(tensors[name]))
    header = _header(path, {name: tensors[name] for name in ordered}, metadata or {})
    with written_file(path, streamed=True) as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        arrays = ArrayWriter(stream, written)
        for name in ordered:
            array = read(name)
            if (array.dtype, array.shape) != tensors[name]:
                message = (
                    f"{path}: tensor {name} is {array.dtype} {array.shape}, announced as "
                    f"{tensors[name].dtype} {tensors[name].shape}."
                )
                raise FileFormatError(message)
            arrays.write(array)


def _place(info: TensorInfo) -> tuple[int, bool]:
    return -info.dtype.itemsize, info.nbytes % PAGE_BYTES != 0


def _header(path: Path, tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, info in tensors.items():
        if info.dtype not in SAFETENSORS_NAMES:
            message = f"{path}: safetensors files cannot hold {info.dtype} (tensor {name})."
            raise FileFormatError(message)
        entries[name] = {
            "dtype": SAFETENSORS_NAMES[info.dtype],
            "shape": list(info.shape),
            "data_offsets": [position, position + info.nbytes],
        }
        position += info.nbytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    # Tensors that begin at a page are written and mapped without a copy. The format allows spaces.
    return text + b" " * (-(8 + len(text)) % PAGE_BYTES)
