"""Verdicts of `llm data check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_data.check.options import CheckOptions
from llm_data.check.run import check
from llm_data.errors import RecordError
from llm_data.tokenizer import Tokenizer

WORDS = ["alpha", "beta", "gamma", "delta", "omega"]


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clean train and dev data without a repeated sample."""
    data = tmp_path / "data"
    data.mkdir()
    _write(data / "train.json", [{"src": f"{a} {b}", "tgt": b} for a in WORDS for b in WORDS])
    _write(data / "dev.json", [{"src": f"{a}?", "tgt": a} for a in WORDS])
    return data


def _check(folder: Path, bpe: Tokenizer, **changes: Any) -> int:
    fields = {
        "dataset_name_or_path": str(folder),
        "tokenizer_name_or_path": str(bpe.path),
        **changes,
    }
    return check(CheckOptions(**fields))


def test_clean_data_pass(folder: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(folder, bpe) == 0
    out = capsys.readouterr().out
    assert "train: shares" in out
    assert "dev: shares" in out
    assert "quant" not in out
    assert "Passed" in out


@pytest.mark.parametrize(
    ("record", "count", "verdict"),
    [
        ({"src": "alpha"}, 1, "dropped"),
        ({"src": "alpha", "tgt": "beta " * 40}, 3, "cut"),
        ({"src": "alpha", "tgt": "beta " * 40}, 3, "do not learn to stop"),
        ({"src": "alpha alpha", "tgt": "alpha"}, 3, "repeat an earlier sample"),
    ],
)
def test_each_limit(
    folder: Path,
    bpe: Tokenizer,
    capsys: pytest.CaptureFixture[str],
    record: dict[str, Any],
    count: int,
    verdict: str,
) -> None:
    with (folder / "train.json").open("a", encoding="utf-8") as stream:
        stream.write(("\n" + json.dumps(record)) * count)
    assert _check(folder, bpe, src_length=16, max_length=32) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert any(f"% {verdict}, the limit" in line for line in failed)
    loose = {f"max_{name}_share": 1.0 for name in ("dropped", "cut", "endless", "duplicate")}
    assert _check(folder, bpe, src_length=16, max_length=32, **loose) == 0


def test_dev_samples_that_are_in_train(
    folder: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(folder / "dev.json", [{"src": "alpha beta", "tgt": "beta"}, {"src": "x", "tgt": "y"}])
    assert _check(folder, bpe) == 1
    assert "FAILED  dev: 50.00% are in train too" in capsys.readouterr().out


def test_template_that_drifts(
    folder: Path, bpe: Tokenizer, chatml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(folder, bpe, chat_template=str(chatml)) == 0
    content = json.loads(chatml.read_text(encoding="utf-8"))
    content["query"] = "\n<|im_start|>user\n{{query}}<|im_end|>\n<|im_start|>assistant"
    chatml.write_text(json.dumps(content), encoding="utf-8")
    assert _check(folder, bpe, chat_template=str(chatml)) == 1
    assert "where inference writes" in capsys.readouterr().out


def test_one_file_and_no_data(folder: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    assert _check(folder / "train.json", bpe) == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="holds neither train"):
        _check(tmp_path / "empty", bpe)


def test_a_split_that_is_not_there_is_no_matter(
    folder: Path, bpe: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    """Calibration falls back to `train` elsewhere; here nothing is said about it."""
    caplog.set_level("INFO")
    assert _check(folder, bpe) == 0
    assert not [record for record in caplog.records if "quant" in record.message]
