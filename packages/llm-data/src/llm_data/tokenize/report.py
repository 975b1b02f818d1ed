"""What a run says at its end: what came out, how fast, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.console import console
from llm_data.count_table import count_table
from llm_data.sources import Documents
from llm_data.tokenize.parts import Part


def figures(parts: list[Part]) -> list[tuple[str, int]]:
    """What came out."""
    documents = sum(part.documents for part in parts)
    sequences = sum(part.sequences for part in parts)
    return [
        ("documents", documents),
        *([("sentences", sequences)] if sequences != documents else []),
        ("tokens", sum(part.tokens for part in parts)),
        ("bytes of text", sum(part.text_bytes for part in parts)),
        ("documents shortened", sum(part.shortened for part in parts)),
    ]


def counted(parts: list[Part]) -> Documents:
    """What all parts together have left out."""
    counts = Documents()
    for part in parts:
        counts.add(part.dropped, part.places)
    return counts


def report(
    parts: list[Part], dtype: np.dtype[Any], prefix: Path, ends: tuple[str, str], seconds: float
) -> None:
    """Print the table; seconds: that tokenizing took in this run."""
    counts = counted(parts)
    rows: list[tuple[str, int, str]] = [(*entry, "") for entry in figures(parts)]
    for reason, count in sorted(counts.dropped.items()):
        rows.append((f"dropped: {reason}", count, ", ".join(counts.places[reason])))
    if not counts.dropped:
        rows.append(("dropped", 0, ""))
    count_table("Tokenized", rows)
    names = " and ".join(f"{prefix.name}{end}" for end in ends)
    took = f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
    console.print(f"Wrote {names} to {prefix.parent} ({dtype.name}) in {took}", markup=False)
