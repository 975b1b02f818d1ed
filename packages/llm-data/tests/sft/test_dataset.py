"""The data set: counts, samples on demand, errors."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import RecordError, SampleError
from llm_data.sft import IGNORED, SftDataset
from llm_data.sft.dataset import TOO_LONG
from llm_data.tokenizer import Tokenizer


def _write(path: Path, records: list[Any]) -> Path:
    lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three good records among five bad ones."""
    return _write(
        tmp_path / "train.json",
        [
            {"src": "alpha", "tgt": "beta"},
            "{broken",
            {"src": "alpha"},
            {"src": "alpha " * 60, "tgt": "gamma"},
            "",
            {"src": ["a", "b"], "tgt": ["c", "d"]},
            {"src": "alpha"},
            {"src": "alpha", "tgt": "beta"},
            [1],
        ],
    )


def test_everything_is_counted_and_named(bpe: Tokenizer, mixed: Path) -> None:
    data = SftDataset(mixed, bpe, src_length=20, max_length=40)
    report = data.report
    assert (report.records, report.samples, report.source_cut, report.cut) == (8, 3, 1, 1)
    assert report.samples + sum(report.dropped.values()) == report.records
    assert report.dropped["missing key 'tgt'"] == 2
    assert report.places["missing key 'tgt'"] == [f"{mixed}:3", f"{mixed}:7"]
    assert report.places["invalid JSON"] == [f"{mixed}:2"]
    assert [data.record(i) for i in range(len(data))] == [0, 3, 6]
    assert data.digests[0] == data.digests[2] != data.digests[1]
    assert ("question cut", 1, "") in report.rows()
    assert "2 dropped: missing key 'tgt'" in report.summary()


def test_what_is_left_out_is_a_warning_with_its_lines(
    bpe: Tokenizer, mixed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SftDataset(mixed, bpe, src_length=20, max_length=40)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{mixed}:3, {mixed}:7: missing key 'tgt' (2 records left out)" in said
    assert f"{mixed}:2: invalid JSON (1 record left out)" in said


def test_samples(bpe: Tokenizer, mixed: Path) -> None:
    data = SftDataset(mixed.parent, bpe, src_length=20, max_length=40)
    assert data.lengths.tolist() == [sample["input_ids"].size for sample in data]
    sample = data[0]
    assert sample["position_ids"].tolist() == list(range(sample["input_ids"].size))
    assert {values.dtype for values in sample.values()} == {np.dtype(np.int64)}
    assert data[-1]["labels"].tolist() == sample["labels"].tolist()
    again = pickle.loads(pickle.dumps(data))
    assert again[1]["input_ids"].tolist() == data[1]["input_ids"].tolist()
    batch = data.collate([data[0], data[1]], pad_to_multiple_of=16)
    assert batch["input_ids"].shape == (2, 32)
    assert batch["labels"][0, sample["labels"].size :].tolist() == [IGNORED] * (
        32 - sample["labels"].size
    )
    with pytest.raises(IndexError, match="there are 3"):
        data[3]


def test_strict_stops_at_the_first(bpe: Tokenizer, mixed: Path) -> None:
    with pytest.raises(RecordError, match=r"train\.json:2: invalid JSON\. Mend or remove"):
        SftDataset(mixed, bpe, strict=True)


def test_records_that_are_too_long(bpe: Tokenizer, tmp_path: Path) -> None:
    records = [{"src": "a", "tgt": "b"}, {"src": "a", "tgt": "b " * 90}, {"src": "c", "tgt": "d"}]
    path = _write(tmp_path / "a.json", records)
    cut = SftDataset(path, bpe, src_length=10, max_length=20)
    assert (cut.report.samples, cut.report.target_cut) == (3, 1)
    left = SftDataset(path, bpe, src_length=10, max_length=20, excess_length="drop")
    assert (left.report.samples, left.report.cut) == (2, 0)
    assert left.report.dropped == {TOO_LONG: 1}
    assert left.report.places[TOO_LONG] == [f"{path}:2"]
    with pytest.raises(SampleError, match=r"a\.json:2: the record is longer than --src_length 10"):
        SftDataset(path, bpe, src_length=10, max_length=20, excess_length="raise")


def test_no_sample_left(bpe: Tokenizer, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.json", [{"src": "a"}])
    with pytest.raises(RecordError, match=r"No sample is left .*missing key 'tgt'"):
        SftDataset(path, bpe)


def test_template_of_the_caller(bpe: Tokenizer, tmp_path: Path, chatml: Path) -> None:
    path = _write(tmp_path / "a.json", [{"src": ["a", "b"], "tgt": ["c", "d"], "system": "Be."}])
    data = SftDataset(path, bpe, chat_template=chatml)
    assert bpe.decode(data[0]["input_ids"].tolist()).startswith("Be.\nuser\na")


def test_real_data(shared_real: Path) -> None:
    from llm_data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(shared_real / "tokenizers" / "qwen2")
    data = SftDataset(shared_real / "text" / "sft" / "advertisegen_dev.json", tokenizer)
    assert (data.report.samples, data.report.records, data.report.endless) == (1070, 1070, 0)
    first = json.loads(
        (shared_real / "text" / "sft" / "advertisegen_dev.json").read_text("utf-8").split("\n")[0]
    )
    labels = data[0]["labels"]
    learnt = tokenizer.decode(labels[labels != IGNORED].tolist(), skip_special_tokens=False)
    assert learnt == first["tgt"] + "<|im_end|>\n"
