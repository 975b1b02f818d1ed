"""A scaled loss gives the very same steps, and none where a gradient overflows."""

from __future__ import annotations

import numpy as np
import paddle

from llm_train.loop.scaled_optimizer import ScaledOptimizer
from llm_train.loss_scale import LossScale


def stepped(factor: float | None, steps: int = 3) -> np.ndarray:
    """Weights after some clipped AdamW steps; None: without a scale."""
    paddle.seed(5)
    layer = paddle.nn.Linear(6, 4)
    clip = paddle.nn.ClipGradByGlobalNorm(0.5)
    inner = paddle.optimizer.AdamW(learning_rate=0.1, parameters=layer.parameters(), grad_clip=clip)
    scale = LossScale(factor or 1.0, dynamic=factor is not None)
    optimizer = ScaledOptimizer(inner, layer.parameters(), scale) if factor else inner
    inputs = paddle.to_tensor(np.random.default_rng(2).standard_normal((5, 6), dtype=np.float32))
    for _ in range(steps):
        ((layer(inputs) ** 2).sum() * scale.value).backward()
        optimizer.step()
        optimizer.clear_grad()
    weights: np.ndarray = layer.weight.numpy()
    return weights


def test_steps_are_those_of_a_loss_without_a_scale() -> None:
    np.testing.assert_array_equal(stepped(4096.0), stepped(None))


def test_an_overflow_leaves_weights_and_moments_as_they_are() -> None:
    layer = paddle.nn.Linear(2, 2)
    inner = paddle.optimizer.AdamW(learning_rate=0.1, parameters=layer.parameters())
    scale = LossScale(16.0, dynamic=True)
    optimizer = ScaledOptimizer(inner, layer.parameters(), scale)
    before = layer.weight.numpy().copy()
    (layer(paddle.to_tensor([[np.inf, 1.0]], dtype="float32")).sum() * scale.value).backward()
    optimizer.step()
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    assert scale.value == 8.0
    assert not [name for name in optimizer.state_dict() if "moment" in name]
    assert optimizer.get_lr() == 0.1
