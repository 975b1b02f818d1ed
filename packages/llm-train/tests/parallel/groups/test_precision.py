"""Mixed precision trains as float32 does, within the rounding of its numbers, in every layout.

The 16-bit products are emulated (see sixteen_bits.py): a CPU has none.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plan_of_runs import (
    FAMILIES,
    FLASH_FAMILIES,
    OVERFLOWING,
    SAVED_AT,
    SHORT,
    SIXTEEN,
    SIXTEEN_TWO,
)

from llm_convert.model import open_model
from llm_train.loop.watch import read_metrics

LLAMA = FAMILIES[0]


def losses(output: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(output / "metrics.jsonl") if "loss" in row]


def weights(folder: Path) -> dict[str, np.ndarray]:
    model = open_model(folder)
    return {key.name: model.dense(key) for key in model.keys()}  # noqa: SIM118 - a Model is no mapping


@pytest.mark.parametrize("level", SIXTEEN)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_differ_from_those_of_float32_by_rounding(
    family: str, level: str, runs: Path
) -> None:
    exact, rounded = losses(runs / f"{family}-one")[:SHORT], losses(runs / f"{family}-{level}")
    assert len(rounded) == SHORT
    difference = np.abs(np.subtract(rounded, exact))
    assert difference.max() < 0.02
    assert difference.max() > 1e-5, "nothing was rounded"


def test_the_levels_are_two(runs: Path) -> None:
    assert losses(runs / f"{LLAMA}-O1") != losses(runs / f"{LLAMA}-O2")


@pytest.mark.parametrize("mode", SIXTEEN_TWO)
def test_two_processes_round_like_one(mode: str, runs: Path) -> None:
    alone, together = losses(runs / f"{LLAMA}-O2"), losses(runs / f"{LLAMA}-{mode}")
    np.testing.assert_allclose(together, alone, rtol=0, atol=0.02)


@pytest.mark.parametrize("family", FLASH_FAMILIES)
def test_flash_attention_keeps_packed_samples_apart(family: str, runs: Path) -> None:
    masked, flash = runs / f"{family}-packed", runs / f"{family}-packed-flash"
    apart = np.abs(np.subtract(losses(flash), losses(masked))).max()
    assert 0 < apart < 0.01
    counts = [json.loads((folder / "products.json").read_text()) for folder in (masked, flash)]
    assert counts[1]["packed"] > counts[0]["packed"]


def test_weights_stay_float32(runs: Path) -> None:
    types = {array.dtype for array in weights(runs / f"{LLAMA}-O2").values()}
    assert types == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["fp16", "fp16-stage1"])
def test_a_loss_scale_that_overflows_comes_down_and_training_goes_on(name: str, runs: Path) -> None:
    exact, scaled = losses(runs / f"{LLAMA}-one")[:SHORT], losses(runs / f"{LLAMA}-{name}")
    # The first step has the same weights; later ones are behind by the steps that were skipped.
    # (Paddle cuts float16 off on a CPU instead of rounding it.)
    assert scaled[0] == pytest.approx(exact[0], abs=5e-3)
    assert np.isfinite(scaled).all()
    untrained = losses(runs / f"{LLAMA}-skipped")
    np.testing.assert_allclose(scaled[:3], untrained[:3], rtol=0, atol=1e-5)
    assert scaled[-1] < untrained[-1] - 0.1


def test_a_run_that_skips_every_step_saves_and_resumes(runs: Path) -> None:
    whole, resumed = runs / f"{LLAMA}-skipped", runs / f"{LLAMA}-skipped-resumed"
    assert losses(resumed) == losses(whole)[SAVED_AT:]
    before, after = weights(whole), weights(resumed)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_the_loss_scale_is_resumed(runs: Path) -> None:
    whole, resumed = runs / f"{LLAMA}-fp16", runs / f"{LLAMA}-fp16-resumed"
    state = json.loads((whole / f"checkpoint-{SAVED_AT}" / "run.json").read_text())["loss_scale"]
    assert state == {"value": OVERFLOWING["scale_loss"] / 4, "good": SAVED_AT - 2}
    assert losses(resumed) == losses(whole)[SAVED_AT:]
