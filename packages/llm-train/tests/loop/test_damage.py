"""Weights that a step broke are not written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from llm_train.errors import DivergedError
from llm_train.loop.damage import refuse_damage


def test_a_weight_that_is_not_finite_is_refused_with_the_step() -> None:
    layer = paddle.nn.Linear(2, 2)
    optimizer = paddle.optimizer.AdamW(parameters=layer.parameters())
    refuse_damage(optimizer, 3, None)
    layer.weight.set_value(np.array([[1, np.nan], [0, 1]], np.float32))
    with pytest.raises(DivergedError, match="1 weight tensors are not finite after step 3"):
        refuse_damage(optimizer, 3, None)


@pytest.mark.parametrize("save_steps", [1, 100])
def test_a_run_that_breaks_in_its_last_step_leaves_nothing(
    save_steps: int, trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained(
        max_steps=1, save_steps=save_steps, learning_rate=1e39, max_grad_norm=0.0, warmup_steps=0
    )
    with pytest.raises(DivergedError, match="not finite"):
        run.go(repeating(16))
    assert not list(run.output.glob("checkpoint-*"))
    assert not list(run.output.glob("*.safetensors"))


def test_a_run_that_breaks_stops_at_the_next_step(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained(max_steps=9, learning_rate=1e39, max_grad_norm=0.0, warmup_steps=0)
    with pytest.raises(DivergedError, match="nan at step 2"):
        run.go(repeating(16))


def test_a_model_without_numbers_is_not_evaluated(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained(max_steps=9, do_eval=True, eval_on_start=False, eval_steps=1,
                  learning_rate=1e39, max_grad_norm=0.0, warmup_steps=0)  # fmt: skip
    with pytest.raises(DivergedError, match="held-out loss is nan"):
        run.go(repeating(16), repeating(4))
