"""Counts as a table, with places of what was counted where any are known."""

from __future__ import annotations

from collections.abc import Sequence

from llm_cli.console import table


def count_table(title: str, rows: Sequence[tuple[str, int, str]]) -> None:
    """Print rows (what, how many, where); without a place the last column is left out."""
    placed = any(where for _, _, where in rows)
    columns = ("what", "count", "where") if placed else ("what", "count")
    table(title, columns, [row[: len(columns)] for row in rows])
