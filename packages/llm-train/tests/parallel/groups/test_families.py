"""The README's table of families says what comes out when it is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def tool(repository: Path) -> ModuleType:
    place = repository / "tools" / "trained_families.py"
    spec = importlib.util.spec_from_file_location("trained_families", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_trained_family_has_a_green_row(tool: ModuleType) -> None:
    rows = tool.between(tool.README.read_text(encoding="utf-8")).splitlines()[2:]
    names = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert names == list(tool.models())
    for row, model in zip(rows, tool.models().values(), strict=True):
        wanted = "yes" if model is not None else "refused"
        assert row.count(wanted) == 3, row


def test_a_run_that_fails_or_differs_is_not_green(tool: ModuleType) -> None:
    assert tool.falls([3.0, 2.0, 1.0])
    assert not tool.falls([3.0, 2.0])
    assert not tool.falls([1.0, 2.0, 3.0])
    assert tool.equal([1.0, 1.0, 1.0], [1.0, 1.0, 1.000005])
    assert not tool.equal([1.0, 1.0, 1.0], [1.0, 1.0, 1.1])
    assert not tool.equal([], [])
    assert "| llama | no | no | no |" in tool.table({})


@pytest.mark.slow
def test_the_table_is_what_was_found(tool: ModuleType, tmp_path: Path) -> None:
    made = tool.table(tool.run(tmp_path))
    assert made == tool.between(tool.README.read_text(encoding="utf-8"))
