"""Runs are told apart by what they begin with and what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from llm_train.errors import ResumeError
from llm_train.loop import TrainingData
from llm_train.loop.data import stacked
from llm_train.loop.identity import check_same_run, model_digest, run_identity, sample_digests
from llm_train.loop.precision import Precision
from llm_train.model import build_model
from llm_train.training_options import TrainingOptions


def test_one_number_a_name_or_a_frozen_weight_makes_another_model(config_folder: Path) -> None:
    model = build_model(config_folder, continue_training=False, seed=1)
    first = model_digest(model)
    assert model_digest(build_model(config_folder, continue_training=False, seed=1)) == first
    norm = model.decoder.final_norm.weight
    norm.stop_gradient = True
    frozen = model_digest(model)
    norm.stop_gradient = False
    assert model_digest(model) == first
    norm.set_value(paddle.to_tensor(np.linspace(0.9, 1.1, 32, dtype=np.float32)))
    assert len({first, frozen, model_digest(model)}) == 3


def test_a_longer_run_over_the_same_data_agrees_where_both_look(repeating: Any) -> None:
    whole, start = repeating(300), repeating(300)
    start.rows = start.rows[:40]
    long = sample_digests(TrainingData(whole, stacked, epoch=300))
    short = sample_digests(TrainingData(start, stacked, epoch=300))
    assert 5 < len(short) < len(long)
    assert short == {place: long[place] for place in short}


def test_a_checkpoint_without_the_same_samples_is_refused(
    repeating: Any, config_folder: Path
) -> None:
    model = build_model(config_folder, continue_training=False)
    options = TrainingOptions(model_name_or_path="m", output_dir="o")
    identity = run_identity(model, options, TrainingData(repeating(20), stacked), 8)
    check_same_run(Path("checkpoint-1"), identity, identity)
    with pytest.raises(ResumeError, match="over other data"):
        check_same_run(Path("checkpoint-1"), {**identity, "samples": {}}, identity)


def test_other_numbers_are_said(
    repeating: Any, config_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_model(config_folder, continue_training=False)
    options = TrainingOptions(model_name_or_path="m", output_dir="o")
    data = TrainingData(repeating(20), stacked)
    mixed = run_identity(model, options, data, 8, precision=Precision("bfloat16", "bfloat16"))
    full = run_identity(model, options, data, 8)
    check_same_run(Path("checkpoint-1"), mixed, full)
    assert "bfloat16 products, bfloat16 hidden states; this run goes on in float32" in caplog.text
    caplog.clear()
    # Checkpoints of earlier versions, which knew float32 alone, do not say it.
    check_same_run(Path("checkpoint-1"), {k: v for k, v in full.items() if k != "precision"}, full)
    assert not caplog.text
