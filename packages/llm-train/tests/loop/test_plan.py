"""Steps of a run, and when something is due."""

from __future__ import annotations

from typing import Any

import pytest

from llm_train.loop.plan import due, make_plan
from llm_train.training_options import TrainingOptions


def plan(samples: int = 100, **changes: Any) -> Any:
    values = {"model_name_or_path": "m", "output_dir": "o", "per_device_train_batch_size": 4}
    return make_plan(TrainingOptions(**{**values, **changes}), samples)


def test_epochs_are_rounded_up_to_whole_steps() -> None:
    assert plan(100).steps == 25
    assert plan(101).steps == 26
    assert plan(100, num_train_epochs=1.5).steps == 38
    assert plan(100, gradient_accumulation_steps=3).steps == 9
    assert plan(1).steps == 1


def test_max_steps_goes_before_epochs() -> None:
    assert plan(100, max_steps=7, num_train_epochs=9).steps == 7


def test_do_eval_means_every_eval_steps_or_logging_steps() -> None:
    assert plan().evaluate_every == 0
    assert plan(do_eval=True, eval_steps=6).evaluate_every == 6
    assert plan(do_eval=True, logging_steps=9).evaluate_every == 9
    assert plan(evaluation_strategy="epoch").evaluate_every == 25


def test_checkpoints_by_steps_epochs_or_never() -> None:
    assert plan(save_steps=3).save_every == 3
    assert plan(save_strategy="epoch").save_every == 25
    assert plan(save_strategy="no").save_every == 0


def test_warmup_by_steps_or_share() -> None:
    assert plan(max_steps=200, warmup_ratio=0.05).schedule.warmup == 10
    assert plan(max_steps=15, warmup_ratio=0.1).schedule.warmup == 2
    assert plan(max_steps=200, warmup_ratio=0.05, warmup_steps=3).schedule.warmup == 3


@pytest.mark.parametrize("samples", [3, 4, 99, 101, 106, 1001])
def test_epochs_end_where_their_last_sample_is_read(samples: int) -> None:
    """Against counting samples: no epoch drifts away from its end."""
    made = plan(samples, evaluation_strategy="epoch", num_train_epochs=9)
    seen = [(step - 1) * 4 for step in range(1, made.steps + 1)]
    crossed = [before // samples < (before + 4) // samples for before in seen]
    assert [due(step, made.evaluate_every) for step in range(1, made.steps + 1)] == crossed
    assert not due(made.steps, plan(save_strategy="no").save_every)
    assert [step for step in range(1, 13) if due(step, plan(save_steps=4).save_every)] == [4, 8, 12]


def test_the_schedule_ends_with_the_run_or_with_decay_steps() -> None:
    assert plan(max_steps=50).schedule.total == 50
    ended = plan(max_steps=50, decay_steps=40, min_learning_rate=1e-5).schedule
    assert (ended.total, ended.minimum) == (40, 1e-5)
    assert ended.rate(45) == pytest.approx(1e-5)
