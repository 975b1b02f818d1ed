"""How a sample looks on a terminal: its text token by token, learnt tokens marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from rich.text import Text

from llm_cli.console import console, table
from llm_data.indexed.layout import IntArray
from llm_data.sft import IGNORED
from llm_data.tokenizer import Tokenizer

PER_LINE = 24
_VISIBLE = str.maketrans({" ": "\u00b7", "\n": "\u23ce", "\t": "\u21e5", "\r": "\u240d"})
_INCOMPLETE = "\ufffd"


def show_sample(name: str, sample: Mapping[str, IntArray], tokenizer: Tokenizer) -> None:
    """Lines of tokens, each line begun by the position of its first token.

    sample: `input_ids` and `labels` [T], perhaps `position_ids` and `segment_ids`. What is learnt
    is green and between [ and ]; a space shows as a dot, a token that ends inside a character
    as an ellipsis.
    """
    learnt = int(np.count_nonzero(sample["labels"] != IGNORED))
    size = sample["input_ids"].size
    console.print(f"\n{name}: {size} tokens, {learnt} learnt", markup=False, style="bold")
    for position, ids, marks in _segments(sample):
        for start in range(0, len(ids), PER_LINE):
            stop = start + PER_LINE
            line = _line(position + start, ids[start:stop], marks[start:stop], tokenizer)
            console.print(line)


def list_tokens(name: str, sample: Mapping[str, IntArray], tokenizer: Tokenizer) -> None:
    """One row a token: position, segment, id, label, and the stored pieces of both."""
    count = sample["input_ids"].size
    positions = sample.get("position_ids", np.arange(count))
    segments = sample.get("segment_ids", np.ones(count, dtype=np.int64))
    columns = (positions, segments, sample["input_ids"], sample["labels"])
    table(
        name,
        ("position", "segment", "id", "label", "piece", "learns"),
        [
            (*map(str, values), _piece(tokenizer, values[2]), _piece(tokenizer, values[3]))
            for values in zip(*(column.tolist() for column in columns), strict=True)
        ],
    )


def _segments(
    sample: Mapping[str, IntArray],
) -> Iterator[tuple[int, list[int], list[bool]]]:
    """(first position, ids, whether each is learnt) of every sample in the row.

    The last label of a sample is no input of it, so it is added where it is learnt.
    """
    ids, labels = sample["input_ids"], sample["labels"]
    segments = sample.get("segment_ids", np.ones(ids.size, dtype=np.int64))
    borders = np.flatnonzero(np.diff(segments)) + 1
    for part, marks in zip(np.split(ids, borders), np.split(labels, borders), strict=True):
        learnt = [False, *(marks != IGNORED).tolist()]
        shown = [*part.tolist(), int(marks[-1]) if marks.size else IGNORED]
        stop = None if learnt[-1] else -1
        yield 0, shown[:stop], learnt[:stop]


def _line(position: int, ids: list[int], learnt: list[bool], tokenizer: Tokenizer) -> Text:
    line = Text(f"{position:>6} ", style="dim")
    special = set(tokenizer.special_tokens.values())
    inside = False
    for token_id, mark, text in zip(ids, learnt, _texts(ids, tokenizer), strict=True):
        line.append(" ")
        if mark != inside:
            line.append("[" if mark else "] ", style="bold")
            inside = mark
        style = "green" if mark else "not dim"
        line.append(text, style=f"bold {style}" if token_id in special else style)
    if inside:
        line.append("]", style="bold")
    return line


def _texts(ids: list[int], tokenizer: Tokenizer) -> Iterator[str]:
    """What each token adds to the text of the tokens before it."""
    before = ""
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=False)
        if text.endswith(_INCOMPLETE):
            yield "\u2026"
            continue
        yield text[len(before) :].translate(_VISIBLE)
        before = text


def _piece(tokenizer: Tokenizer, token_id: int) -> str:
    return "" if token_id == IGNORED else (tokenizer.id_to_token(token_id) or f"<{token_id}>")
