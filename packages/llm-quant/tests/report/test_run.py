"""`llm quant report` against the reference decoder, and what it refuses."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli.main import run
from llm_convert.model import open_model
from llm_data.sft import SftDataset
from llm_data.tokenizer import load_tokenizer
from llm_kernels import reference_decoder
from llm_quant.report import run as report_run
from llm_quant.report.reader import Reader
from llm_quant.report.windows import validation_windows


def log_probabilities(path: Path, ids: np.ndarray) -> np.ndarray:
    model = open_model(path)
    logits = reference_decoder.forward(model.spec, model.sizes, model.dense, ids)
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def rounded(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rounded") / "int4"
    words = ["quant", "weight-only", "--model_name_or_path", str(llama), "--output_path", str(out)]
    assert run([*words, "--quant_type", "weight_only_int4", "--group_size", "32"]) == 0
    return out


def test_numbers_equal_the_reference_decoder(
    llama: Path, rounded: Path, corpus: Path, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    words = ["quant", "report", "--model_name_or_path", str(llama), "--input_dir", str(corpus)]
    words += ["--quantized_model_name_or_path", str(rounded), "--split", "80,20,0"]
    words += ["--max_length", "90", "--max_eval_tokens", "200", "--output_file", str(file)]
    assert run(words) == 0
    content = json.loads(file.read_text())
    windows, available = validation_windows(str(corpus), "80,20,0", 90, 200)
    assert content["data"]["scored_tokens"] == 200
    assert content["data"]["available_tokens"] == available
    targets = np.concatenate([window.ids[1:] for window in windows])
    logs = [
        np.concatenate([log_probabilities(path, window.ids[:-1]) for window in windows])
        for path in (llama, rounded)
    ]
    for entry, expected in zip(content["models"], logs, strict=True):
        loss = -expected[np.arange(200), targets].mean()
        assert entry["loss"] == pytest.approx(loss, abs=2e-3)
        assert entry["perplexity"] == pytest.approx(np.exp(entry["loss"]))
    kl = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean()
    assert content["models"][1]["kl"] == pytest.approx(kl, rel=0.05)
    assert content["models"][0]["kl"] == 0
    dense, int4 = (entry["weight_bytes"] for entry in content["models"])
    # float32 embedding and head stay: 2 * 96 * 64 * 4 bytes.
    assert int4 < dense / 2.5
    assert content["lineage"]["command"] == "quant report"


def test_only_two_models_are_packed_at_once(
    llama: Path,
    rounded: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[weakref.ref[Reader]] = []
    most: list[int] = []

    class Counted(Reader):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            packed.append(weakref.ref(self))
            most.append(sum(reader() is not None for reader in packed))

    monkeypatch.setattr(report_run, "Reader", Counted)
    file = tmp_path / "report.json"
    words = ["quant", "report", "--model_name_or_path", str(llama), "--input_dir", str(corpus)]
    words += ["--quantized_model_name_or_path", str(rounded), str(llama), str(rounded)]
    words += ["--split", "80,20,0", "--max_eval_tokens", "150", "--output_file", str(file)]
    assert run(words) == 0
    assert len(most) == 4
    assert max(most) == 2
    models = json.loads(file.read_text())["models"]
    assert [model["model_name_or_path"] for model in models] == [
        str(path) for path in (llama, rounded, llama, rounded)
    ]
    assert models[1]["kl"] == models[3]["kl"] > 0
    assert models[0]["loss"] == models[2]["loss"] != models[1]["loss"]
    assert models[2]["kl"] == 0


def test_dialogues_score_the_answers_only(llama: Path, dialogues: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    words = ["quant", "report", "--model_name_or_path", str(llama), "--output_file", str(file)]
    assert run([*words, "--dataset_name_or_path", str(dialogues)]) == 0
    content = json.loads(file.read_text())
    data = SftDataset(dialogues, load_tokenizer(llama), split="dev", src_length=64, max_length=128)
    total, count = 0.0, 0
    for sample in data:
        rows = np.flatnonzero(sample["labels"] >= 0)
        logs = log_probabilities(llama, sample["input_ids"])
        total -= logs[rows, sample["labels"][rows]].sum()
        count += rows.size
    assert content["data"]["scored_tokens"] == count
    assert content["models"][0]["loss"] == pytest.approx(total / count, abs=2e-3)


def test_inputs_that_do_not_fit_end_with_2(
    llama: Path, golden: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quant", "report", "--model_name_or_path", str(llama)]
    assert run([*words, "--input_dir", str(corpus), "--split", "1,0,0"]) == 2
    assert "holds no tokens to score" in capsys.readouterr().err
    assert run([*words, "--input_dir", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
    other = ["--quantized_model_name_or_path", str(golden / "llama_v2_gqa")]
    assert run([*words, *other, "--input_dir", str(corpus), "--split", "1,1,0"]) == 2
    assert "vocabularies of [96, 256]" in capsys.readouterr().err
