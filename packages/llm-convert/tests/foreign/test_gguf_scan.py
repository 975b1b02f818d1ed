"""Counts and lengths that reach beyond a GGUF file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llm_convert.errors import FileFormatError
from llm_convert.files.tensor_file import FileMap
from llm_convert.foreign.gguf_scan import check_lengths

PLAIN = Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "gguf" / "plain"


def field(kind: int, value: bytes) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    return header + struct.pack("<Q", 1) + b"a" + struct.pack("<I", kind) + value


def test_a_whole_file_passes() -> None:
    check_lengths(FileMap(PLAIN))


@pytest.mark.parametrize(
    "data",
    [
        field(9, struct.pack("<IQ", 4, 1 << 60)),
        field(9, struct.pack("<IQ", 8, 1 << 60)),
        field(9, struct.pack("<IQ", 9, 1)),
        field(8, struct.pack("<Q", 1 << 62)),
        field(77, bytes(8)),
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0),
        b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
        b"GGUF",
    ],
)
def test_lengths_that_lie_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="truncated or no GGUF file"):
        check_lengths(FileMap(path))


@pytest.mark.parametrize(
    ("shape", "text"),
    [([1] * 33, "33 axes; at most 32"), ([0, 1 << 40, 1 << 40], "3 axes with more than")],
)
def test_shapes_that_no_array_has_are_told_with_the_tensor(
    tmp_path: Path, shape: list[int], text: str
) -> None:
    path = tmp_path / "x.gguf"
    head = struct.pack("<4sIQQQ4sI", b"GGUF", 3, 1, 0, 4, b"name", len(shape))
    path.write_bytes(head + struct.pack(f"<{len(shape)}QIQ", *shape, 0, 0))
    with pytest.raises(FileFormatError, match=rf"x\.gguf .* tensor name has a shape of {text}"):
        check_lengths(FileMap(path))
