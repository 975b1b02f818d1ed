"""Texts out of pieces, and what is dropped with its place."""

from __future__ import annotations

import json

import pytest

from llm_data.errors import RecordError
from llm_data.sources import Documents, Piece, TextFormat, read_documents


def _read(data: bytes, form: TextFormat, first_line: int = 1) -> tuple[list[str], Documents]:
    counts = Documents()
    found = read_documents(Piece("f", first_line, data), form, counts)
    return [text for text, _ in found], counts


def test_json_lines_with_all_that_can_be_wrong() -> None:
    lines = [
        json.dumps({"text": "good"}),
        "",
        "{",
        "[1]",
        json.dumps({"body": "x"}),
        json.dumps({"text": 4}),
        json.dumps({"text": "  "}),
        '{"text": "half \\ud83d"}',
        json.dumps({"text": "also \u00e9"}),
    ]
    data = "\r\n".join(lines).encode()
    texts, counts = _read(data, TextFormat(), first_line=11)
    assert texts == ["good", "also \u00e9"]
    assert counts.dropped == {
        "invalid JSON": 1,
        "a JSON list where an object is needed": 1,
        "missing key 'text'": 1,
        "'text' is no text": 1,
        "empty text": 1,
        "half of a surrogate pair": 1,
    }
    assert counts.places["invalid JSON"] == ["f:13"]
    assert counts.places["empty text"] == ["f:17"]


def test_other_key_and_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf" + json.dumps({"body": "x"}).encode()
    assert _read(data, TextFormat(json_key="body"))[0] == ["x"]


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("file", ["a\nb\n\n \nc\n"]),
        ("line", ["a", "b", "c"]),
        ("paragraph", ["a\nb", "c"]),
    ],
)
def test_text(unit: str, texts: list[str]) -> None:
    form = TextFormat("TEXT", text_document=unit)
    assert _read(b"a\nb\n\n \nc\n", form)[0] == texts


def test_places_of_paragraphs() -> None:
    counts = Documents()
    form = TextFormat("TEXT", text_document="paragraph")
    piece = Piece("f", 5, b"\n\na\n\nb\nc\n\n\n\xff\n")
    assert [place for _, place in read_documents(piece, form, counts)] == ["f:7", "f:9"]
    assert counts.places == {"invalid UTF-8": ["f:13"]}


def test_long_runs_shrink_and_are_counted() -> None:
    data = json.dumps({"text": "a" + "=" * 101 + "b" + "-" * 100}).encode()
    texts, counts = _read(data, TextFormat())
    assert texts == ["a=b" + "-" * 100]
    assert counts.shortened == 1
    kept, counts = _read(data, TextFormat(max_repeated_len=0))
    assert len(kept[0]) == 203
    assert counts.shortened == 0


def test_strict_names_the_line() -> None:
    piece = Piece("f", 3, b'{"text": "a"}\n{\n')
    with pytest.raises(RecordError, match=r"^f:4: invalid JSON\."):
        list(read_documents(piece, TextFormat(), Documents(), strict=True))
