"""Samples of a pretraining run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.indexed import IndexedWriter
from llm_kernels.families import FAMILIES, Sizes
from llm_train.errors import BatchError, RecipeError
from llm_train.pretrain.data import pretraining_data, stacked_below
from llm_train.pretrain.options import PretrainOptions

SIZES = Sizes(hidden=8, layers=1, heads=1, kv_heads=1, head_dim=8, mlp=8, vocab=100, eps=1e-5,
              max_positions=16)  # fmt: skip


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., PretrainOptions]:
    with IndexedWriter(tmp_path / "text", np.uint16) as writer:
        for document in range(20):
            writer.add_document(np.random.default_rng(document).integers(0, 100, 40))

    def make(**changes: Any) -> PretrainOptions:
        values = {
            "model_name_or_path": "m", "output_dir": "o", "input_dir": str(tmp_path),
            "split": "80,20,0", "max_seq_length": 10, "per_device_train_batch_size": 4,
        }  # fmt: skip
        return PretrainOptions(**{**values, **changes})

    return make


def test_as_many_samples_as_the_run_reads(options: Callable[..., PretrainOptions]) -> None:
    data = pretraining_data(options(max_steps=50), FAMILIES["llama"], SIZES)
    assert (len(data.train), data.epoch, data.shuffle) == (200, 63, False)
    assert data.valid is None
    batch = data.collate([data.train[0], data.train[199]])
    assert batch["input_ids"].shape == (2, 10)
    np.testing.assert_array_equal(batch["input_ids"][:, 1:], batch["labels"][:, :-1])
    twice = pretraining_data(options(max_steps=50), FAMILIES["llama"], SIZES, replicas=2)
    assert len(twice.train) == 400
    epoch = pretraining_data(options(), FAMILIES["llama"], SIZES, replicas=2)
    assert len(epoch.train) == 64


def test_held_out_samples_only_where_they_are_evaluated(
    options: Callable[..., PretrainOptions],
) -> None:
    data = pretraining_data(options(do_eval=True), FAMILIES["llama"], SIZES)
    assert data.valid is not None
    assert len(data.valid) == 15
    seen = {tuple(data.train[i]["input_ids"]) for i in range(63)}
    assert tuple(data.valid[0]["input_ids"]) not in seen


def test_a_split_without_training_documents(options: Callable[..., PretrainOptions]) -> None:
    with pytest.raises(RecipeError, match="--split 0,100,0"):
        pretraining_data(options(split="0,100,0"), FAMILIES["llama"], SIZES)


def test_learned_positions_end_where_they_end(
    options: Callable[..., PretrainOptions], caplog: pytest.LogCaptureFixture
) -> None:
    longer = options(max_seq_length=20)
    with pytest.raises(RecipeError, match="16 positions"):
        pretraining_data(longer, FAMILIES["gpt2"], SIZES)
    pretraining_data(longer, FAMILIES["llama"], SIZES)
    assert "above the 16 positions" in caplog.text


def test_an_id_without_an_embedding_is_named() -> None:
    sample = {"input_ids": np.array([1, 2]), "labels": np.array([2, 99])}
    assert stacked_below(100, [sample])["labels"].tolist() == [[2, 99]]
    with pytest.raises(BatchError, match="token id 99, the model has 99"):
        stacked_below(99, [sample])
