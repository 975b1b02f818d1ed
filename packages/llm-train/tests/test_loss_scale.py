"""The factor of a float16 loss."""

from __future__ import annotations

import math

import pytest

from llm_train.errors import DivergedError
from llm_train.loss_scale import NOT_SCALED, LossScale


def test_it_halves_where_a_gradient_overflows_and_doubles_after_many_that_do_not() -> None:
    scale = LossScale(1024.0, dynamic=True)
    assert not scale.accepts(math.inf)
    assert not scale.accepts(math.nan)
    assert scale.value == 256.0
    for _ in range(999):
        assert scale.accepts(3.0)
    assert scale.value == 256.0
    assert scale.accepts(3.0)
    assert scale.value == 512.0
    assert not scale.accepts(math.inf)
    assert scale.state() == {"value": 256.0, "good": 0}


def test_it_goes_on_where_a_checkpoint_was() -> None:
    scale = LossScale(64.0, dynamic=True)
    for _ in range(7):
        scale.accepts(1.0)
    again = LossScale(32768.0, dynamic=True)
    again.restore(scale.state())
    assert again.state() == {"value": 64.0, "good": 7}
    again.restore({})
    assert again.value == 64.0


def test_an_overflow_without_a_scale_says_what_to_do() -> None:
    scale = LossScale(1.0, dynamic=True)
    with pytest.raises(DivergedError, match="--bf16 true"):
        scale.accepts(math.inf)


def test_without_float16_nothing_is_scaled_or_skipped() -> None:
    assert NOT_SCALED.value == 1.0
    assert NOT_SCALED.accepts(math.inf)
    scale = LossScale()
    scale.restore({"value": 8.0, "good": 1})
    assert scale.value == 1.0
