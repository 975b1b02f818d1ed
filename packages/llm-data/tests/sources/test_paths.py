"""Files that inputs mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_data.errors import RecordError
from llm_data.sources import expand_inputs, format_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of files of many kinds."""
    for name in ("a.jsonl", "sub/b.jsonl.zst", "sub/c.json", "d.txt", "e.py", "sub/f.txt.gz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def _names(tree: Path, inputs: list[str], data_format: str) -> list[str]:
    files = expand_inputs(inputs, data_format)
    return [str(path.relative_to(tree)) for path in files]


def test_folders_files_and_globs(tree: Path) -> None:
    assert _names(tree, [str(tree)], "JSON") == ["a.jsonl", "sub/b.jsonl.zst", "sub/c.json"]
    assert _names(tree, [str(tree)], "TEXT") == ["d.txt", "sub/f.txt.gz"]
    assert _names(tree, [f"{tree}/*.py", f"{tree}/d.txt"], "TEXT") == ["d.txt", "e.py"]
    assert _names(tree, [f"{tree}/**/*.jsonl*", str(tree / "a.jsonl")], "JSON") == [
        "a.jsonl",
        "sub/b.jsonl.zst",
    ]


def test_relative_globs(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert expand_inputs(["sub/*.json"], "JSON") == [Path("sub/c.json")]


def test_nothing_found_and_wrong_format(tree: Path) -> None:
    with pytest.raises(RecordError, match="matches no file"):
        expand_inputs([f"{tree}/*.parquet"], "JSON")
    (tree / "t.parquet").write_bytes(b"x")
    with pytest.raises(RecordError, match=r"t\.parquet is a table"):
        expand_inputs([str(tree / "t.parquet")], "TEXT")
    with pytest.raises(RecordError, match="--data_format TEXT"):
        expand_inputs([str(tree / "d.txt")], "JSON")


def test_format_by_suffix(tree: Path) -> None:
    assert format_of([str(tree)], "auto") == "JSON"
    assert format_of([f"{tree}/*.txt", str(tree / "sub" / "f.txt.gz")], "auto") == "TEXT"
    assert format_of([f"{tree}/*.py"], "auto") == "JSON"
    assert format_of([f"{tree}/*.txt"], "JSON") == "JSON"
    with pytest.raises(RecordError, match="in a run of its own"):
        expand_inputs([f"{tree}/d.txt", f"{tree}/a.jsonl"], "JSON")
