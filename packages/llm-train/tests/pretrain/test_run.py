"""`llm train pretrain` without what it needs; whole runs are in test_cli."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import DataError
from llm_data.indexed import IndexedWriter
from llm_train.errors import RecipeError
from llm_train.loop.watch import read_metrics
from llm_train.pretrain.options import PretrainOptions
from llm_train.pretrain.run import pretrain


def test_data_must_be_named_and_there(config_folder: Path, tmp_path: Path) -> None:
    place = {"model_name_or_path": str(config_folder), "output_dir": str(tmp_path / "out")}
    with pytest.raises(RecipeError, match="--input_dir"):
        pretrain(PretrainOptions(**place))
    with pytest.raises(DataError):
        pretrain(PretrainOptions(**place, input_dir=str(tmp_path / "none")))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Options of a short run over documents of counting numbers."""
    with IndexedWriter(tmp_path / "data" / "text", np.uint16) as writer:
        for start in range(40):
            writer.add_document((start + np.arange(40)) % 61)
    return {
        "input_dir": str(tmp_path / "data"),
        "split": "80,20,0",
        "max_seq_length": 16,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.01,
        "max_steps": 40,
        "save_strategy": "no",
        "do_eval": True,
        "device": "cpu",
    }


def test_only_evaluating_reads_the_models_weights(
    config_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trained = str(tmp_path / "trained")
    pretrain(PretrainOptions(model_name_or_path=str(config_folder), output_dir=trained, **settings))
    rows = read_metrics(tmp_path / "trained" / "metrics.jsonl")
    last = [row["eval_loss"] for row in rows if "eval_loss" in row][-1]
    assert last < 2.0 < np.log(61)
    out = tmp_path / "figures"
    settings["do_train"] = False
    pretrain(PretrainOptions(model_name_or_path=trained, output_dir=str(out), **settings))
    figures = json.loads((out / "eval_results.json").read_text())
    assert figures["eval_loss"] == pytest.approx(last, abs=1e-5)


def test_more_steps_go_on_with_the_same_samples(
    config_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """A finished run is trained further, and equals the one that was as long from the start."""
    settings |= {"save_strategy": "steps", "save_steps": 10, "lr_scheduler_type": "constant"}
    place = {"model_name_or_path": str(config_folder), "logging_steps": 1}
    for name, steps in (("long", 30), ("short", 10)):
        out = str(tmp_path / name)
        pretrain(PretrainOptions(**place, output_dir=out, **{**settings, "max_steps": steps}))
    more = {"max_steps": 30, "resume_from_checkpoint": "true", "overwrite_output_dir": True}
    out = str(tmp_path / "short")
    pretrain(PretrainOptions(**place, output_dir=out, **{**settings, **more}))
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("long", "short")]
    assert files[0] == files[1]


def test_a_model_with_a_prefix_mask_fills_in_blanks(
    golden: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    pretrain(
        PretrainOptions(model_name_or_path=str(golden / "chatglm"), output_dir=str(out), **settings)
    )
    rows = read_metrics(out / "metrics.jsonl")
    found = [row for row in rows if "eval_loss" in row]
    # Of 10 held-out windows of 14 tokens and the one that follows, half or more is learnt.
    assert 8 * 8 <= found[-1]["eval_tokens"] <= 23 * 15
    assert found[-1]["eval_loss"] < 2.0 < found[0]["eval_loss"]


def test_a_model_with_a_prefix_mask_needs_its_tokens(
    golden: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    place = {"model_name_or_path": str(golden / "glm"), "output_dir": str(tmp_path / "out")}
    with pytest.raises(RecipeError, match="start and a mask token"):
        pretrain(PretrainOptions(**place, **settings))
    assert not (tmp_path / "out").exists()
