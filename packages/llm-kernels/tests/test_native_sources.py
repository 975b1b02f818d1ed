"""Rules of the C++ sources that no compiler checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r"^\s*#include\s+([<\"][^>\"]+[>\"])", re.MULTILINE)
ALLOWED = {"<stdint.h>", "<stddef.h>", "<math.h>", "<immintrin.h>"}


def reached(source: Path) -> set[Path]:
    """The file and every file of ours that it includes, directly or not."""
    seen: set[Path] = set()
    todo = [source]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in INCLUDE.findall(file.read_text(encoding="utf-8")):
            found = [PACKAGE / root / name.strip('"') for root in ("csrc", "include")]
            todo.extend(path for path in found if name.startswith('"') and path.is_file())
    return seen


@pytest.mark.parametrize("unit", sorted(PACKAGE.glob("csrc/isa/*.cpp")), ids=lambda path: path.stem)
def test_units_of_an_instruction_set_include_no_header_of_the_standard_library(unit: Path) -> None:
    """A template compiled there could be the copy that the linker keeps for every processor."""
    files = reached(unit)
    assert len(files) > 5
    system = {
        name
        for file in files
        for name in INCLUDE.findall(file.read_text(encoding="utf-8"))
        if name.startswith("<")
    }
    assert system <= ALLOWED


def test_headers_of_ops_know_no_python() -> None:
    for header in PACKAGE.glob("include/llm_kernels/*.h"):
        assert "pybind" not in header.read_text(encoding="utf-8")
