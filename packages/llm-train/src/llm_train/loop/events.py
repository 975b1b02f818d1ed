"""Scalars for TensorBoard, in its event files, written without TensorBoard.

A file is a row of records: length, its checksum, an `Event` message of protobuf, its checksum.
Checksums are masked CRC-32C, as TensorFlow's record format asks for.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_VERSION = b"brain.Event:2"


class EventWriter:
    """Appends scalars to an event file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}"
        self.path = folder / name
        self._stream = self.path.open("ab")
        self._append(_double(1, now) + _bytes(3, _VERSION))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a step."""
        summary = b"".join(
            _bytes(1, _bytes(1, name.encode()) + _float(2, value)) for name, value in values.items()
        )
        self._append(_double(1, time.time()) + _varint(2, step) + _bytes(5, summary))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        self._stream.write(length + _checksum(length) + event + _checksum(event))
        self._stream.flush()


def _table() -> tuple[int, ...]:
    made = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        made.append(value)
    return tuple(made)


_CRC = _table()


def masked_crc32c(data: bytes) -> int:
    """The checksum of a record's parts."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _double(field: int, value: float) -> bytes:
    return _number(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _number(field << 3 | 5) + struct.pack("<f", value)
