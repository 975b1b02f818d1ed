"""What the blocks of one pass share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from llm_kernels.paddle.passing import Pass, logn_scale
from llm_kernels.reference import logn_scale as expected_scale


def test_one_bias_for_each_window(random_model: Callable[..., Any]) -> None:
    sizes = random_model("llama", layers=3, window=2, full_layers=frozenset({1})).sizes
    state = Pass(sizes, 1, 4, 4, heads=4, groups=2)
    assert state.bias(0) is state.bias(2)
    narrow, whole = state.bias(0), state.bias(1)
    assert narrow is not None
    assert whole is not None
    assert [(narrow == 0).sum().item(), (whole == 0).sum().item()] == [7, 10]


def test_without_rotation_heads_pass_unchanged(random_model: Callable[..., Any]) -> None:
    state = Pass(random_model("bloom").sizes, 1, 2, 2, heads=4, groups=2)
    heads = paddle.randn([1, 2, 4, 8])
    assert state.turn(heads) is heads


def test_queries_beyond_the_trained_length_are_scaled() -> None:
    positions = np.array([0, 6, 7, 8, 63])
    scale = logn_scale(paddle.to_tensor(positions[None]), 8)
    assert scale.shape == [1, 5, 1, 1]
    np.testing.assert_allclose(scale.numpy().ravel(), expected_scale(positions, 8), atol=1e-6)
