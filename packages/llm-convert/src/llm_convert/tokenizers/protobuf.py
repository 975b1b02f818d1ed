"""As much of protobuf's wire format as a sentencepiece model needs.

Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK = (1 << 64) - 1


class Fields:
    """The fields of one message by number: integers, or bytes of texts, messages and floats."""

    def __init__(self) -> None:
        self._values: dict[int, list[Any]] = defaultdict(list)

    def append(self, field: int, value: int | bytes) -> None:
        """One more value of a field."""
        self._values[field].append(value)

    def all(self, field: int) -> list[bytes]:
        """Every value of a repeated text or message. Raises ValueError for other types."""
        values = self._values.get(field, [])
        if not all(isinstance(value, bytes) for value in values):
            message = f"field {field} is of another type"
            raise ValueError(message)
        return values

    def last(self, field: int, default: Any) -> Any:
        """The value of a field, or `default`. Raises ValueError for one of another type."""
        values = self._values.get(field)
        if not values:
            return default
        if type(values[-1]) is not type(default):
            message = f"field {field} is of another type"
            raise ValueError(message)
        return values[-1]


def fields(data: bytes) -> Fields:
    """The fields of a message. Raises ValueError or IndexError where it is damaged."""
    found = Fields()
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            found.append(field, value)
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            text = f"a field of the unknown wire type {kind} at byte {at}"
            raise ValueError(text)
        if at + size > len(data):
            text = f"{size} bytes at byte {at}, there are {len(data)}"
            raise ValueError(text)
        found.append(field, data[at : at + size])
        at += size
    return found


def message(*values: tuple[int, int | float | str | bytes]) -> bytes:
    """A message of fields (number, value)."""
    out = bytearray()
    for field, value in values:
        if isinstance(value, int):
            out += _encoded(field << 3 | _VARINT) + _encoded(value & _MASK)
        elif isinstance(value, float):
            out += _encoded(field << 3 | _FIXED32) + struct.pack("<f", value)
        else:
            data = value.encode("utf-8") if isinstance(value, str) else value
            out += _encoded(field << 3 | _BYTES) + _encoded(len(data)) + data
    return bytes(out)


def number(value: int) -> int:
    """A varint as the signed number that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, at
    text = f"a number of more than ten bytes before byte {at}"
    raise ValueError(text)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
