"""Which viewers' files a run writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.loop import writers
from llm_train.loop.writers import make_writers, scalars


def test_lines_become_tags() -> None:
    assert scalars({"step": 3, "loss": 1.0, "tokens_per_s": 9}) == {
        "train/loss": 1.0,
        "train/tokens_per_s": 9.0,
    }
    assert scalars({"step": 3, "eval_loss": 2.0}) == {"eval/loss": 2.0}


def test_a_viewer_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_writers("none", tmp_path) == []
    monkeypatch.setattr(writers, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match="pip install visualdl"):
        make_writers("all", tmp_path)


def test_a_run_writes_for_both_viewers(trained: Callable[..., Any], repeating: Any) -> None:
    run = trained(report_to="all", max_steps=2)
    run.go(repeating(24))
    assert len(list((run.output / "tensorboard").glob("events.out.tfevents.*"))) == 1
    assert len(list((run.output / "visualdl").glob("*"))) == 1
    assert 0 < run.metrics()[0]["mfu"] < 1
