"""Whether a GGUF file's counts and lengths fit the file, before the package gguf believes them.

It walks over as many elements as a file states, whether they are there or not. It also makes an
object of every element of an array; `stated` reads a tokenizer's without that.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from llm_convert.errors import FileFormatError
from llm_convert.files.tensor_file import FileMap, check_shape

# Bytes of a value by the number of its type, and how struct names it; 8 is a text, 9 an array.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_SMALLEST_FIELD = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 4 + 8


def check_lengths(source: FileMap) -> None:
    """Raise FileFormatError where a count, a length or a shape is beyond the file or any array."""
    try:
        _, version, tensors, fields = struct.unpack_from("<4sIQQ", source.data, 0)
        at = 24
        _within(source, at, tensors * _SMALLEST_TENSOR + fields * _SMALLEST_FIELD)
        if version not in (2, 3):
            message = f"version {version}; 2 and 3 are known"
            raise ValueError(message)
        for _ in range(fields):
            at = _text(source, at)
            at = _value(source, at + 4, *struct.unpack_from("<I", source.data, at))
        for _ in range(tensors):
            at = _tensor(source, at)
    except (ValueError, struct.error) as error:
        message = f"{source.path} is truncated or no GGUF file: {error}."
        raise FileFormatError(message) from error


def stated(source: FileMap, wanted: Callable[[str], bool]) -> dict[str, Any]:
    """The values of the wanted keys of a file that `check_lengths` has seen; arrays as lists.

    Raises FileFormatError where a text is not UTF-8.
    """
    (fields,) = struct.unpack_from("<Q", source.data, 16)
    at = 24
    found = {}
    try:
        for _ in range(fields):
            key, at = _read_text(source, at)
            (kind,) = struct.unpack_from("<I", source.data, at)
            if wanted(key):
                found[key], at = _read(source, at + 4, kind)
            else:
                at = _value(source, at + 4, kind)
    except ValueError as error:
        message = f"{source.path} is no GGUF file: {error}."
        raise FileFormatError(message) from error
    return found


def _read(source: FileMap, at: int, kind: int) -> tuple[Any, int]:
    if kind == _TEXT:
        return _read_text(source, at)
    if kind != _ARRAY:
        (value,) = struct.unpack_from(f"<{_CODES[kind]}", source.data, at)
        return value, at + _size(kind)
    inner, count = struct.unpack_from("<IQ", source.data, at)
    at += 12
    if inner != _TEXT:
        values = list(struct.unpack_from(f"<{count}{_CODES[inner]}", source.data, at))
        return values, at + count * _size(inner)
    texts = []
    for _ in range(count):
        text, at = _read_text(source, at)
        texts.append(text)
    return texts, at


def _read_text(source: FileMap, at: int) -> tuple[str, int]:
    end = _text(source, at)
    return bytes(source.data[at + 8 : end]).decode("utf-8"), end


def _within(source: FileMap, at: int, size: int) -> int:
    if at + size > len(source):
        message = f"{size} bytes at byte {at}, the file has {len(source)}"
        raise ValueError(message)
    return at + size


def _text(source: FileMap, at: int) -> int:
    (length,) = struct.unpack_from("<Q", source.data, at)
    return _within(source, at + 8, length)


def _tensor(source: FileMap, at: int) -> int:
    """Behind the entry of a tensor: its name, axes, type and place."""
    begin, at = at, _text(source, at)
    (axes,) = struct.unpack_from("<I", source.data, at)
    end = _within(source, at + 4, axes * 8 + 4 + 8)
    try:
        # Whatever the type: read or dequantized, an element has at most 4 bytes.
        check_shape(struct.unpack_from(f"<{axes}Q", source.data, at + 4), 4)
    except ValueError as error:
        name = bytes(source.data[begin + 8 : min(at, begin + 108)]).decode("utf-8", "replace")
        message = f"tensor {name} has {error}"
        raise ValueError(message) from error
    return end


def _value(source: FileMap, at: int, kind: Any) -> int:
    if kind == _TEXT:
        return _text(source, at)
    if kind != _ARRAY:
        return _within(source, at, _size(kind))
    inner, count = struct.unpack_from("<IQ", source.data, at)
    at += 12
    if inner != _TEXT:
        return _within(source, at, count * _size(inner))
    _within(source, at, count * 8)
    for _ in range(count):
        at = _text(source, at)
    return at


def _size(kind: int) -> int:
    if kind not in _SIZES:
        message = f"a value of the unknown type {kind}"
        raise ValueError(message)
    return _SIZES[kind]
