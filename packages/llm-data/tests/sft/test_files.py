"""Where the files of a split are looked for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from llm_data.errors import RecordError
from llm_data.sft import find_split_files


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_places(tmp_path: Path) -> None:
    _touch(tmp_path / "train.json", tmp_path / "dev" / "b.json", tmp_path / "dev" / "a.jsonl")
    assert find_split_files(tmp_path, "train") == [tmp_path / "train.json"]
    assert find_split_files(tmp_path, "dev") == [
        tmp_path / "dev" / "a.jsonl",
        tmp_path / "dev" / "b.json",
    ]
    assert find_split_files(tmp_path / "train.json", "dev") == [tmp_path / "train.json"]


def test_calibration_falls_back_to_train_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _touch(tmp_path / "train.jsonl")
    with caplog.at_level(logging.INFO):
        assert find_split_files(tmp_path, "quant") == [tmp_path / "train.jsonl"]
    assert "holds no quant data; train is used" in caplog.text
    _touch(tmp_path / "quant.json")
    assert find_split_files(tmp_path, "quant") == [tmp_path / "quant.json"]


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"neither dev\.json nor dev/"):
        find_split_files(tmp_path, "dev")
    with pytest.raises(RecordError, match="does not exist"):
        find_split_files(tmp_path / "absent", "train")
