"""Cuts a text into sentences, for data in which a document is a row of them.

Chinese, Japanese: behind a full stop, question or exclamation mark and the quotes that close it.
Other scripts: behind . ? ! and a blank, unless a small letter follows, or the point ends an
initial or a common abbreviation. A line end always ends a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WIDE_END = re.compile(r"[\u3002\uff01\uff1f\uff61]+[\u201d\u2019\u300d\u300f\uff09)\"']*")
_END = re.compile(r"[.!?\u2026]+[\"')\]\u201d\u2019]*(?=\s)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|No|Fig|al|approx)\.$"
)
_NEXT = re.compile(r"\S")
_LOOK_BACK = 12


def split_sentences(text: str, *, lines_only: bool = False) -> list[str]:
    """Sentences of `text` without the blanks around them; none is empty.

    lines_only: only line ends end a sentence.
    """
    found: list[str] = []
    for line in text.split("\n"):
        parts = [line] if lines_only else _sentences(line)
        found += [part.strip() for part in parts if part.strip()]
    return found


def _sentences(line: str) -> Iterator[str]:
    begin = 0
    for end in _ends(line):
        yield line[begin:end]
        begin = end
    yield line[begin:]


def _ends(line: str) -> list[int]:
    ends = [match.end() for match in _WIDE_END.finditer(line)]
    for match in _END.finditer(line):
        rest = _NEXT.search(line, match.end())
        following = rest.group() if rest else ""
        before = line[max(match.end() - _LOOK_BACK, 0) : match.end()]
        if not following.islower() and not _ABBREVIATION.search(before):
            ends.append(match.end())
    return sorted(ends)
