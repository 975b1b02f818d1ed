"""Where a run computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import pytest

from llm_train.errors import RecipeError
from llm_train.loop.device import use_device


def test_new_tensors_are_made_where_it_was_said() -> None:
    assert use_device("cpu") == "cpu"
    assert paddle.zeros([1]).place.is_cpu_place()


def test_auto_is_what_is_there() -> None:
    there = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    assert use_device("auto") == ("gpu" if there else "cpu")
    use_device("cpu")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if paddle.is_compiled_with_cuda():
        pytest.skip("this Paddle has a GPU")
    with pytest.raises(RecipeError, match="--device gpu"):
        use_device("gpu")


def test_a_run_on_a_gpu_that_is_not_there_is_refused(
    trained: Callable[..., Any], repeating: Any
) -> None:
    if paddle.is_compiled_with_cuda():
        pytest.skip("this Paddle has a GPU")
    with pytest.raises(RecipeError, match="paddlepaddle-gpu"):
        trained().go(repeating(8), device="gpu")
