"""How a sample looks on a terminal: its text token by token, learnt tokens marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from llm_cli.console import console, table
from llm_data.indexed.layout import IntArray
from llm_data.sft import IGNORED
from llm_data.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rich.text import Text

PER_LINE = 24
_VISIBLE = str.maketrans({" ": "\u00b7", "\n": "\u23ce", "\t": "\u21e5", "\r": "\u240d"})
_INCOMPLETE = "\ufffd"
_LONGEST_CHARACTER = 4


def show_sample(
    name: str,
    sample: Mapping[str, IntArray],
    tokenizer: Tokenizer,
    limit: int = 0,
    learnt: str | None = None,
) -> None:
    """Lines of tokens, each line begun by the position of its first token.

    sample: `input_ids` and `labels` [T], perhaps `position_ids` and `segment_ids`. What is learnt
    is green and between [ and ]; a space shows as a dot, a token that ends inside a character
    as an ellipsis. limit: how many tokens to show, from beginning and end; 0: all. learnt: how
    many are, in words; by default counted.
    """
    if learnt is None:
        learnt = f"{np.count_nonzero(sample['labels'] != IGNORED):,}"
    size = sample["input_ids"].size
    console.print(f"\n{name}: {size:,} tokens, {learnt} learnt", markup=False, style="bold")
    segments = list(_segments(sample))
    front, back = _ends(sum(len(ids) for ids, _ in segments), limit)
    begin = 0
    for ids, marks in segments:
        stop, again = (min(max(place - begin, 0), len(ids)) for place in (front, back))
        _print_lines(ids[:stop], marks[:stop], 0, tokenizer)
        if begin <= front < begin + len(ids) and front < back:
            console.print(f"     … {back - front:,} tokens are left out; --max_tokens 0 shows all")
        _print_lines(ids[again:], marks[again:], again, tokenizer)
        begin += len(ids)


def list_tokens(
    name: str, sample: Mapping[str, IntArray], tokenizer: Tokenizer, limit: int = 0
) -> None:
    """One row a token: position, segment, id, label, and the pieces of both, readable.

    limit: how many tokens to show, from beginning and end; 0: all.
    """
    count = sample["input_ids"].size
    positions = sample.get("position_ids", np.arange(count))
    segments = sample.get("segment_ids", np.ones(count, dtype=np.int64))
    columns = (positions, segments, sample["input_ids"], sample["labels"])
    front, back = _ends(count, limit)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    if front < back:
        name += f" ({back - front:,} tokens in the middle are left out; --max_tokens 0 shows all)"
    table(
        name,
        ("position", "segment", "id", "label", "piece", "learns"),
        [
            (*map(str, values), _piece(tokenizer, values[2]), _piece(tokenizer, values[3]))
            for values in (*rows[:front], *rows[back:])
        ],
    )


def _ends(count: int, limit: int) -> tuple[int, int]:
    """Where to stop and where to go on, of `count` tokens of which `limit` are shown."""
    if not limit or count <= limit:
        return count, count
    return limit - limit // 2, count - limit // 2


def _print_lines(ids: list[int], marks: list[bool], first: int, tokenizer: Tokenizer) -> None:
    """Print tokens of a segment, the first of which is at position `first`."""
    special = set(tokenizer.special_tokens.values())
    tokens = [
        (text, mark, token_id in special)
        for text, mark, token_id in zip(token_texts(ids, tokenizer), marks, ids, strict=True)
    ]
    for start in range(0, len(tokens), PER_LINE):
        console.print(_line(first + start, tokens[start : start + PER_LINE]))


def _segments(sample: Mapping[str, IntArray]) -> Iterator[tuple[list[int], list[bool]]]:
    """(ids, whether each is learnt) of every sample in the row.

    The last label of a sample is no input of it, so it is added where it is learnt.
    """
    ids, labels = sample["input_ids"], sample["labels"]
    segments = sample.get("segment_ids", np.ones(ids.size, dtype=np.int64))
    borders = np.flatnonzero(np.diff(segments)) + 1
    for part, marks in zip(np.split(ids, borders), np.split(labels, borders), strict=True):
        learnt = [False, *(marks != IGNORED).tolist()]
        shown = [*part.tolist(), int(marks[-1]) if marks.size else IGNORED]
        stop = None if learnt[-1] else -1
        yield shown[:stop], learnt[:stop]


def _line(position: int, tokens: list[tuple[str, bool, bool]]) -> Text:
    from rich.text import Text

    line = Text(f"{position:>6} ", style="dim")
    inside = False
    for text, learnt, special in tokens:
        line.append(" ")
        if learnt != inside:
            line.append("[" if learnt else "] ", style="bold")
            inside = learnt
        style = "green" if learnt else "not dim"
        line.append(text, style=f"bold {style}" if special else style)
    if inside:
        line.append("]", style="bold")
    return line


def token_texts(ids: list[int], tokenizer: Tokenizer) -> Iterator[str]:
    """What each token adds to the text before it, blanks made visible.

    A token that ends inside a character gives an ellipsis, the one that completes it the whole.
    """
    begin = done = 0
    for index in range(len(ids)):
        before = tokenizer.decode(ids[begin:done], skip_special_tokens=False)
        text = tokenizer.decode(ids[begin : index + 1], skip_special_tokens=False)
        if text.endswith(_INCOMPLETE) and index - done < _LONGEST_CHARACTER:
            yield "\u2026"
            continue
        yield text[len(before) :].translate(_VISIBLE)
        begin, done = done, index + 1


def readable_piece(tokenizer: Tokenizer, token_id: int) -> str:
    """What a vocabulary calls a token, or its text where the name is one byte after the other.

    Byte-level vocabularies name the bytes of 你好 by six Latin letters.
    """
    piece = tokenizer.id_to_token(token_id) or f"<{token_id}>"
    if piece.isascii():
        return piece
    text = tokenizer.decode([token_id], skip_special_tokens=False)
    hidden = text.strip() and _INCOMPLETE not in text and text.strip() not in piece
    return text.translate(_VISIBLE) if hidden else piece


def _piece(tokenizer: Tokenizer, token_id: int) -> str:
    return "" if token_id == IGNORED else readable_piece(tokenizer, token_id)
