"""`llm train sft` from lines of questions and answers to a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from llm_convert.model import open_model
from llm_data.packing import PackedDataset
from llm_data.sft import SftDataset
from llm_data.tokenizer import load_tokenizer
from llm_train.errors import RecipeError
from llm_train.loop.watch import read_metrics
from llm_train.sft.options import SftOptions
from llm_train.sft.run import sft

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def base(tmp_path: Path, config_folder: Path) -> Path:
    """A folder with a configuration and a tokenizer of letters."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_bytes((config_folder / "config.json").read_bytes())
    words = {w: i for i, w in enumerate(["<s>", "</s>", *LETTERS])}
    special = [
        {"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, w in enumerate(["<s>", "</s>"])
    ]  # fmt: skip
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": special,
                "normalizer": None,
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": words, "unk_token": "a"},
            }
        )
    )
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Questions whose answer is the next letters of the alphabet."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, letters in (("train", LETTERS[:20]), ("dev", LETTERS[3:9])):
        rows = []
        for i, letter in enumerate(letters):
            start = LETTERS.index(letter)
            answer = [LETTERS[(start + k) % 26] for k in range(1, 2 + i % 3)]
            rows.append(json.dumps({"src": f"{letter} {letter}", "tgt": " ".join(answer)}))
        (folder / f"{name}.json").write_text("\n".join(rows) + "\n")
    return folder


def options(base: Path, data: Path | None, out: Path, **changes: Any) -> SftOptions:
    values: dict[str, Any] = {
        "model_name_or_path": str(base),
        "dataset_name_or_path": str(data) if data else None,
        "output_dir": str(out),
        "continue_training": False,
        "src_length": 8,
        "max_length": 16,
        "per_device_train_batch_size": 5,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 30,
        "learning_rate": 0.01,
        "logging_steps": 10,
        "evaluation_strategy": "epoch",
        "save_strategy": "no",
        "device": "cpu",
    }
    return SftOptions(**{**values, **changes})


def test_answers_are_learnt_and_questions_are_not(base: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sft(options(base, data, out))
    rows = read_metrics(out / "metrics.jsonl")
    evaluated = [row for row in rows if "eval_loss" in row]
    assert evaluated[0]["eval_loss"] == pytest.approx(math.log(61), rel=0.1)
    assert evaluated[-1]["eval_accuracy"] > 0.6 > evaluated[0]["eval_accuracy"]
    # Six held-out answers of 1, 2, 3, 1, 2, 3 letters, each with its end; no token of a question.
    assert evaluated[0]["eval_tokens"] == 12 + 6
    model = open_model(out)
    assert model.config["eos_token_id"] == 1
    assert load_tokenizer(out).vocab_size == 28
    assert [row["step"] for row in evaluated][:3] == [0, 2, 4]


def test_packed_samples_give_the_loss_of_each_alone(base: Path, data: Path, tmp_path: Path) -> None:
    """One step over all of the data, and the held-out loss before and after it."""
    found = []
    for packed in (False, True):
        out = tmp_path / f"packed-{packed}"
        whole = {"max_steps": 1, "per_device_train_batch_size": 1, "warmup_steps": 0}
        rows = 20 if not packed else len(packed_rows(base, data))
        sft(
            options(base, data, out, zero_padding=packed, gradient_accumulation_steps=rows, **whole)
        )
        metrics = read_metrics(out / "metrics.jsonl")
        losses = [row.get("loss", row.get("eval_loss")) for row in metrics]
        found.append((rows, losses, [row["tokens"] for row in metrics if "tokens" in row]))
    assert found[1][0] < 10
    assert found[0][2] == found[1][2]
    assert found[0][1] == pytest.approx(found[1][1], abs=2e-5)


def packed_rows(base: Path, data: Path) -> PackedDataset:
    samples = SftDataset(data, load_tokenizer(base), src_length=8, max_length=16)
    return PackedDataset(samples, 16)


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_with_a_prefix_mask_learns_to_answer(
    base: Path, data: Path, tmp_path: Path, golden: Path, packed: bool
) -> None:
    blanks = {"[gMASK]": 240, "<sop>": 241, "<eop>": 242}
    (base / "config.json").write_bytes((golden / "chatglm" / "config.json").read_bytes())
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["added_tokens"] += [
        {**tokenizer["added_tokens"][0], "id": i, "content": word} for word, i in blanks.items()
    ]
    tokenizer["model"]["vocab"] |= blanks
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    written = {"eval_with_do_generation": True, "max_length": 18} if not packed else {}
    out = tmp_path / "out"
    watched = {"evaluation_strategy": "steps", "eval_steps": 30, "max_steps": 60}
    sft(options(base, data, out, zero_padding=packed, **watched, **written))
    rows = [row for row in read_metrics(out / "metrics.jsonl") if "eval_loss" in row]
    assert rows[0]["eval_tokens"] == 12 + 6
    assert rows[-1]["eval_accuracy"] > 0.6 > rows[0]["eval_accuracy"]
    if not packed:
        assert rows[-1]["eval_bleu4"] > rows[0]["eval_bleu4"] + 0.2


def test_data_must_be_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--dataset_name_or_path"):
        sft(options(base, None, tmp_path / "out"))
