"""JSON that strangers wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_convert.errors import FileFormatError
from llm_convert.files.json_file import parse_json, read_json

PATH = Path("config.json")


def test_objects_are_read() -> None:
    assert parse_json(b'{"a": [1, {"b": null}]}', PATH) == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"config\.json does not hold valid JSON.*download the file again"),
        (b"\xff\xfe", "valid JSON"),
        (b'"text"', "JSON object, it holds a str"),
        (b'{"a": 1, "a": 2}', "'a' occurs more than once"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' occurs more than once"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b"[" * 200_000, "valid JSON"),
    ],
)
def test_everything_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        parse_json(data, PATH)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")
