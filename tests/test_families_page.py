"""The page of families names exactly the architectures and namings that the tables hold."""

from __future__ import annotations

import re
from pathlib import Path

from llm_convert.names import TABLES, checkpoints
from llm_kernels.families.rows import ROWS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "families.md"
TABLE_ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "`" in line and "`architectures`" not in line
]


def documented(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def test_the_page_has_a_line_for_every_combination_of_architectures() -> None:
    from_rows = {frozenset(row.architectures) for row in ROWS}
    baichuan = {row.architectures for row in ROWS if len(row.architectures) == 1}
    from_rows = from_rows - baichuan | {frozenset().union(*baichuan)}
    assert {frozenset(documented(cells[1])) for cells in TABLE_ROWS} == from_rows


def test_the_page_states_the_namings_of_every_family() -> None:
    namings = {
        frozenset(row.architectures): set(checkpoints(row.spec))
        for row in ROWS
        if row.spec.name in TABLES
    }
    for cells in TABLE_ROWS:
        stated = set(re.findall(r"\b(hf|paddlenlp|meta|gguf)\b", cells[2]))
        for architectures, expected in namings.items():
            if architectures <= documented(cells[1]):
                assert stated == expected, cells[0]
