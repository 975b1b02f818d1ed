"""TensorBoard's event files, read back by the format's own rules."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llm_train.loop.events import EventWriter, masked_crc32c


def records(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12]) == (masked_crc32c(data[:8]),)
        event, end = data[12 : 12 + length], data[12 + length : 16 + length]
        assert struct.unpack("<I", end) == (masked_crc32c(event),)
        found.append(event)
        data = data[16 + length :]
    return found


def fields(message: bytes) -> dict[int, list[object]]:
    """Field number -> values of a protobuf message."""
    found: dict[int, list[object]] = {}
    while message:
        key, message = number(message)
        kind = key & 7
        value: object
        if kind == 0:
            value, message = number(message)
        elif kind == 2:
            length, message = number(message)
            value, message = message[:length], message[length:]
        else:
            size, code = (8, "<d") if kind == 1 else (4, "<f")
            value, message = struct.unpack(code, message[:size])[0], message[size:]
        found.setdefault(key >> 3, []).append(value)
    return found


def number(message: bytes) -> tuple[int, bytes]:
    value = shift = place = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, message[place:]


def test_the_checksum_is_crc32c() -> None:
    # RFC 3720, B.4: 32 bytes of zeros.
    crc = (masked_crc32c(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((crc << 15 | crc >> 17) & 0xFFFFFFFF) == 0x8A9136AA


def test_scalars_are_read_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.add(300, {"train/loss": 1.5, "train/mfu": 0.25})
    writer.close()
    first, second = (fields(record) for record in records(writer.path))
    assert first[3] == [b"brain.Event:2"]
    assert second[2] == [300]
    values = [fields(value) for value in fields(second[5][0])[1]]  # type: ignore[arg-type]
    assert {bytes(v[1][0]).decode(): v[2][0] for v in values} == {  # type: ignore[call-overload]
        "train/loss": 1.5,
        "train/mfu": pytest.approx(0.25),
    }
