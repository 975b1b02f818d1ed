"""JSON that strangers wrote."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from llm_convert.errors import FileFormatError
from llm_convert.files.json_file import parse_json, read_json

PATH = Path("config.json")


def test_objects_are_read() -> None:
    assert parse_json(b'{"a": [1, {"b": null}]}', PATH) == {"a": [1, {"b": None}]}


def test_every_integer_that_is_read_can_be_computed_with() -> None:
    number = parse_json(b'{"a": ' + b"9" * 300 + b"}", PATH)["a"]
    assert math.isfinite(number)
    assert parse_json(b'{"a": -17}', PATH) == {"a": -17}


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
        (b'{"a": ' + b"9" * 301 + b"}", "an integer of 301 digits, at most 300"),
        (b'{"a": ' + b"9" * 5000 + b"}", "an integer of 5000 digits"),
    ],
)
def test_everything_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        parse_json(data, PATH)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")
