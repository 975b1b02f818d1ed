"""Learning rates against their closed forms."""

from __future__ import annotations

import math

import pytest

from llm_train.loop.schedule import Schedule


def test_linear_rises_then_falls_to_the_minimum() -> None:
    rate = Schedule("linear", 1.0, total=110, warmup=10, minimum=0.1).rate
    assert [rate(step) for step in (0, 5, 10, 60, 110, 500)] == pytest.approx(
        [0.0, 0.5, 1.0, 0.55, 0.1, 0.1]
    )


def test_cosine_follows_the_cosine() -> None:
    rate = Schedule("cosine", 2.0, total=100, minimum=0.5).rate
    for step in (0, 13, 50, 99, 100, 200):
        done = min(step / 100, 1.0)
        assert rate(step) == pytest.approx(0.5 + 1.5 * 0.5 * (1 + math.cos(math.pi * done)))


def test_constants_and_polynomial() -> None:
    assert Schedule("constant", 3.0, 10, warmup=5).rate(0) == 3.0
    warmed = Schedule("constant_with_warmup", 3.0, 10, warmup=5).rate
    assert (warmed(0), warmed(4), warmed(5), warmed(99)) == pytest.approx((0, 2.4, 3, 3))
    squared = Schedule("polynomial", 1.0, 10, end=0.2, power=2.0).rate
    assert (squared(0), squared(5), squared(10)) == pytest.approx((1.0, 0.4, 0.2))
