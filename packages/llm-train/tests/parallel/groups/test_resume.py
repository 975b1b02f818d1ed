"""Checkpoints of several processes: resumed exactly, also by another number or kind of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plan_of_runs import CHANGES, LONG, SAVED, SAVED_AT

from llm_cli.outputs import verify_complete
from llm_convert.model import open_model
from llm_train.loop.optimizer_state import open_state
from llm_train.loop.watch import read_metrics


def losses(output: Path) -> dict[int, float]:
    rows = read_metrics(output / "metrics.jsonl")
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


@pytest.mark.parametrize("mode", SAVED)
def test_the_same_layout_goes_on_bit_by_bit(mode: str, runs: Path) -> None:
    whole, resumed = runs / f"saved-{mode}", runs / f"same-{mode}"
    expected = {step: loss for step, loss in losses(whole).items() if step > SAVED_AT}
    assert losses(resumed) == expected
    assert len(expected) == LONG - SAVED_AT
    before, after = open_model(whole), open_model(resumed)
    for key in before.keys():  # noqa: SIM118 - a Model is no mapping
        np.testing.assert_array_equal(after.dense(key), before.dense(key))


@pytest.mark.parametrize(("before", "after"), [*CHANGES, ("tensor", "one")])
def test_another_layout_goes_on_with_the_same_losses(before: str, after: str, runs: Path) -> None:
    whole, resumed = losses(runs / f"saved-{before}"), losses(runs / f"{before}-to-{after}")
    assert resumed
    for step, loss in resumed.items():
        assert loss == pytest.approx(whole[step], abs=1e-6)


@pytest.mark.parametrize("mode", SAVED)
def test_a_checkpoint_is_whole_complete_and_of_any_layout(mode: str, runs: Path) -> None:
    folder = runs / f"saved-{mode}" / f"checkpoint-{SAVED_AT}"
    assert verify_complete(folder) == []
    files = json.loads((folder / "COMPLETE").read_text())["files"]
    assert len([name for name in files if name.startswith("model-")]) == 2
    mine, one = open_state(folder), open_state(runs / "saved-one" / f"checkpoint-{SAVED_AT}")
    assert set(mine) == set(one)
    for name in one:
        assert mine.info(name).shape == one.info(name).shape
        np.testing.assert_allclose(mine[name], one[name], rtol=2e-3, atol=1e-7, err_msg=name)
