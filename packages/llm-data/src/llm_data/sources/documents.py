"""Texts out of a piece of a file; what gives no text is counted with its place and reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_data.errors import RecordError
from llm_data.json_lines import parse_object
from llm_data.sources.blocks import Piece
from llm_data.sources.repeated import RepeatedRuns

EXAMPLES = 3
"""Places kept for each reason."""
_PARAGRAPH = re.compile(rb"(?:[^\n]*[^\s][^\n]*(?:\n|\Z))+")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextFormat:
    """How documents lie in the files."""

    data_format: str = "JSON"
    """"JSON": an object a line, text under `json_key`; "TEXT": plain text."""
    json_key: str = "text"
    text_document: str = "file"
    """For TEXT: what one document is: "file", "line" or "paragraph"."""
    max_repeated_len: int = 100
    """Longer runs of one character shrink to one; 0: never."""

    @property
    def unit(self) -> str:
        """What ends a document: "line", "paragraph" or "file"."""
        return "line" if self.data_format == "JSON" else self.text_document


@dataclass
class Documents:
    """Counts while documents are read."""

    dropped: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    shortened: int = 0
    """Documents in which a run of one character was cut."""

    def drop(self, reason: str, place: str) -> None:
        """Count what gives no document."""
        self.add({reason: 1}, {reason: [place]})

    def add(self, dropped: dict[str, int], places: dict[str, list[str]]) -> None:
        """Count what another count has counted."""
        for reason, count in dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            kept = self.places.setdefault(reason, [])
            kept += places[reason][: EXAMPLES - len(kept)]


def read_documents(
    piece: Piece, form: TextFormat, counts: Documents, *, strict: bool = False
) -> Iterator[tuple[str, str]]:
    """(text, place) of the documents of `piece`; what gives none is added to `counts`.

    strict: raise RecordError instead, naming file and line.
    """
    shrink = RepeatedRuns(form.max_repeated_len)
    for line, raw in raw_documents(piece, form.unit):
        place = f"{piece.path}:{line}"
        try:
            text = _text(raw, form)
        except RecordError as error:
            if strict:
                message = f"{place}: {error}. Mend the line, or run without --strict to count it."
                raise RecordError(message) from error
            counts.drop(str(error), place)
            continue
        shorter = shrink(text)
        counts.shortened += len(shorter) < len(text)
        yield shorter, place


def raw_documents(piece: Piece, unit: str) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of every document that is not blank."""
    data = piece.data[len(_BOM) :] if piece.data.startswith(_BOM) else piece.data
    if unit == "file":
        yield piece.first_line, data
    elif unit == "line":
        for number, line in enumerate(data.split(b"\n"), start=piece.first_line):
            if line.strip():
                yield number, line
    else:
        number, seen = piece.first_line, 0
        for match in _PARAGRAPH.finditer(data):
            number += data.count(b"\n", seen, match.start())
            seen = match.start()
            yield number, match.group()


def _text(raw: bytes, form: TextFormat) -> str:
    if form.data_format == "JSON":
        text = _json_text(raw, form.json_key)
    else:
        text = _decoded(raw)
        text = text if form.unit == "file" else text.rstrip("\r\n")
    if not text.strip():
        message = "empty text"
        raise RecordError(message)
    return text


def _json_text(raw: bytes, key: str) -> str:
    value = parse_object(raw)
    if key not in value:
        message = f"missing key {key!r}"
        raise RecordError(message)
    text = value[key]
    if not isinstance(text, str):
        message = f"{key!r} is no text"
        raise RecordError(message)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        message = "half of a surrogate pair"
        raise RecordError(message) from error
    return text


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = "invalid UTF-8"
        raise RecordError(message) from error
