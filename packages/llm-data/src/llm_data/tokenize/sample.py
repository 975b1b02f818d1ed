"""Some texts of a run, from the beginnings of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from llm_data.sources import Documents, Position, TextFormat, read_blocks, read_documents

FILES = 8
_BYTES = 1 << 16
_LONGEST = 4096
"""Characters of a text that are tried."""


def sample_texts(paths: Sequence[Path], form: TextFormat) -> list[str]:
    """Beginnings of the first documents of up to `FILES` files, spread over all of them."""
    step = max(len(paths) // FILES, 1)
    return [text[:_LONGEST] for path in paths[::step][:FILES] for text in _texts(path, form)]


def _texts(path: Path, form: TextFormat) -> Iterator[str]:
    blocks = read_blocks([path], form.unit, size=_BYTES, start=Position(), column=form.json_key)
    for block in islice(blocks, 1):
        for piece in block.pieces:
            for text, _ in islice(read_documents(piece, form, Documents()), 32):
                yield text
