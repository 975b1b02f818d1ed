"""Parquet files as lines: rows, what is no text, damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_data.errors import RecordError
from llm_data.sources.streams import InputStream

pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    rows = [f"line {i}\nof text" for i in range(3000)]
    content = {"text": [*rows, None], "n": list(range(3001))}
    parquet.write_table(pyarrow.table(content), path, row_group_size=500)
    return path


def test_rows_are_lines(table: Path) -> None:
    with InputStream(table) as stream:
        first = stream.read(100)
        assert 0 < stream.consumed < table.stat().st_size
        whole = first + stream.read(1 << 20)
        assert stream.read(10) == b""
        assert stream.consumed == table.stat().st_size
    values = [json.loads(line)["text"] for line in whole.splitlines()]
    assert values == [*(f"line {i}\nof text" for i in range(3000)), None]
    with InputStream(table) as stream:
        stream.skip(1000)
        assert stream.read(200) == whole[1000:1200]


def test_other_columns(table: Path) -> None:
    with InputStream(table, "n") as stream:
        assert json.loads(stream.read(20).splitlines()[0]) == {"n": None}
    with pytest.raises(RecordError, match=r"no column 'body'; it has 'text', 'n'\. .*--json_key"):
        InputStream(table, "body")


def test_damage_is_named(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(RecordError, match=r"a\.parquet is no readable Parquet file"):
        InputStream(table)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(RecordError, match=r"pip install pyarrow"):
        InputStream(table)
