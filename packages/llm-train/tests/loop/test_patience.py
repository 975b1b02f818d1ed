"""Early stopping: what counts as better, and what a resumed run remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_train.loop.patience import Patience


def test_so_many_evaluations_without_a_better_one_end_the_run() -> None:
    patience = Patience(limit=2, sign=-1)
    assert [patience.look(value) for value in (3.0, 2.0, 2.5, 1.9, 2.0, 2.1)] == [False] * 5 + [
        True
    ]


def test_better_is_by_more_than_the_threshold() -> None:
    patience = Patience(limit=1, sign=1, threshold=0.1)
    assert [patience.look(value) for value in (0.5, 0.65, 0.7)] == [False, False, True]


def test_without_a_limit_nothing_ends() -> None:
    patience = Patience(limit=0, sign=1)
    assert not any(patience.look(0.0) for _ in range(9))
    again = Patience(limit=10, sign=1, **patience.state())  # type: ignore[arg-type]
    assert again.waited == 8
    assert not again.look(0.0)
    assert again.look(0.0)


def test_a_run_that_gets_no_better_stops_with_its_model(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained()
    run.go(
        repeating(24), repeating(4), do_eval=True, eval_steps=2, early_stopping=True,
        early_stopping_threshold=10.0, early_stopping_patience=2,
    )  # fmt: skip
    # Evaluations before step 1 and after 2 and 4: the last two are not better by 10 nats.
    assert max(run.losses()) == 4
    assert (run.output / "COMPLETE").exists()
