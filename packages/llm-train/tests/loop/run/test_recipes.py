"""What recipes ask for that has no effect here is said, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_train.errors import RecipeError


def test_without_test_data_nothing_is_predicted(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = trained(max_steps=2, do_predict=True)
    run.go(repeating(8))
    assert caplog.text.count("nothing to predict") == 1
    assert run.weights()
    with pytest.raises(RecipeError, match="nothing to do"):
        trained("none", do_predict=True, do_train=False).go(repeating(8))


def test_16_bit_recipes_train_in_float32_and_say_so(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plain, wished = trained("plain", max_steps=2), trained("wished", max_steps=2, bf16=True)
    plain.go(repeating(8))
    assert "float32" not in caplog.text
    wished.go(repeating(8))
    assert caplog.text.count("bf16: Paddle has no 16-bit products on a CPU") == 1
    assert wished.weights() == plain.weights()
