"""Training on several processes is training on one: the same losses, in every mode."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_of_runs import COMBINED, FAMILIES, STEPS, TWO, is_slow

from llm_train.loop.watch import read_metrics


def losses(output: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(output / "metrics.jsonl") if "loss" in row]


def cases(pairs: Iterable[tuple[str, str]]) -> list[Any]:
    """Pairs of model and mode as parameters, the slow ones marked."""
    return [
        pytest.param(*pair, id="-".join(pair), marks=pytest.mark.slow if is_slow(*pair) else ())
        for pair in pairs
    ]


@pytest.fixture
def folder(family: str, mode: str, request: pytest.FixtureRequest) -> Path:
    """Where the runs of a model and a mode are."""
    found: Path = request.getfixturevalue("more_runs" if is_slow(family, mode) else "runs")
    return found


@pytest.mark.parametrize(("family", "mode"), cases(product(FAMILIES, TWO)))
def test_two_processes_in_every_mode_have_the_losses_of_one(
    family: str, mode: str, folder: Path
) -> None:
    alone = losses(folder / f"{family}-one")
    assert len(alone) == STEPS
    assert alone[-1] < alone[0] - 0.05
    np.testing.assert_allclose(losses(folder / f"{family}-{mode}"), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("family", "mode"), cases(COMBINED))
def test_four_processes_in_combined_modes_have_the_losses_of_one(
    family: str, mode: str, folder: Path
) -> None:
    alone = losses(folder / f"{family}-one")
    assert len(alone) == STEPS
    np.testing.assert_allclose(losses(folder / f"{family}-{mode}"), alone, rtol=0, atol=1e-5)


def test_held_out_figures_do_not_depend_on_the_processes(runs: Path) -> None:
    def held_out(mode: str) -> dict[str, float]:
        rows = read_metrics(runs / f"llama_v2_gqa-{mode}" / "metrics.jsonl")
        return next(row for row in rows if "eval_loss" in row)

    alone = held_out("one")
    for mode in TWO:
        row = held_out(mode)
        assert row["eval_tokens"] == alone["eval_tokens"]
        assert row["eval_accuracy"] == pytest.approx(alone["eval_accuracy"], abs=1e-9)
        assert row["eval_loss"] == pytest.approx(alone["eval_loss"], abs=1e-5)


def test_every_mode_leaves_the_model_that_one_process_leaves(runs: Path) -> None:
    from llm_convert.model import open_model

    for family in ("llama_v2_gqa", "bloom"):
        alone = open_model(runs / f"{family}-one")
        for mode in TWO:
            if is_slow(family, mode):
                continue
            model = open_model(runs / f"{family}-{mode}")
            assert model.keys() == alone.keys()
            for key in model.keys():  # noqa: SIM118 - a Model is no mapping
                np.testing.assert_allclose(
                    model.dense(key), alone.dense(key), rtol=0, atol=2e-4, err_msg=f"{mode} {key}"
                )
