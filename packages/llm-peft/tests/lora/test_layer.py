"""The layer with an adapter: what it computes, and what learns."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from llm_peft.lora.layer import LoraLinear, LoraShape, new_a


def layer(shape: LoraShape, *, bias: bool = True) -> LoraLinear:
    paddle.seed(5)
    linear = nn.Linear(12, 7, bias_attr=None if bias else False)
    if bias:
        linear.bias.set_value(paddle.randn([7]))
    return LoraLinear(linear, shape, new_a(12, shape.rank, np.random.default_rng(6)))


def input_of(*shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(7).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("bias", [True, False])
def test_it_begins_as_the_linear_it_wraps(bias: bool) -> None:
    adapted = layer(LoraShape(3, 6.0), bias=bias)
    x = input_of(2, 5, 12)
    expected = paddle.nn.functional.linear(x, adapted.weight, adapted.bias)
    np.testing.assert_array_equal(adapted(x).numpy(), expected.numpy())


@pytest.mark.parametrize(("rslora", "scaling"), [(False, 5 / 3), (True, 5 / math.sqrt(3))])
def test_it_adds_the_scaled_product(rslora: bool, scaling: float) -> None:
    adapted = layer(LoraShape(3, 5.0, rslora=rslora))
    adapted.lora_B.set_value(input_of(3, 7))
    x = input_of(2, 5, 12)
    w, b, a, up = (
        tensor.numpy().astype(np.float64)
        for tensor in (adapted.weight, adapted.bias, adapted.lora_A, adapted.lora_B)
    )
    expected = x.numpy() @ w + b + x.numpy() @ a @ up * scaling
    np.testing.assert_allclose(adapted(x).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_only_the_adapter_learns() -> None:
    adapted = layer(LoraShape(3, 6.0))
    adapted.lora_B.set_value(input_of(3, 7))
    adapted(input_of(4, 12)).square().sum().backward()
    learning = {name for name, p in adapted.named_parameters() if not p.stop_gradient}
    assert learning == {"lora_A", "lora_B"}
    assert adapted.weight.grad is None
    assert adapted.bias.grad is None
    assert np.abs(adapted.lora_A.grad.numpy()).max() > 0
    assert np.abs(adapted.lora_B.grad.numpy()).max() > 0


def test_dropout_belongs_to_training() -> None:
    adapted = layer(LoraShape(3, 6.0, dropout=0.5))
    adapted.lora_B.set_value(input_of(3, 7))
    x = input_of(2, 12)
    adapted.eval()
    first, second = adapted(x).numpy(), adapted(x).numpy()
    np.testing.assert_array_equal(first, second)
    adapted.train()
    assert np.abs(adapted(x).numpy() - first).max() > 1e-3


def test_the_start_of_a_is_uniform_by_the_inputs() -> None:
    a = new_a(400, 8, np.random.default_rng(3)).numpy()
    bound = 1 / math.sqrt(400)
    assert np.abs(a).max() <= bound
    assert np.abs(a).max() > 0.98 * bound
    # The deviation of a uniform distribution is its bound over sqrt(3).
    assert a.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_lora_plus_multiplies_the_rate_of_b_alone() -> None:
    adapted = layer(LoraShape(3, 6.0, b_rate=4.0))
    before = adapted.lora_B.numpy(), adapted.lora_A.numpy()
    adapted.lora_B.set_value(input_of(3, 7))
    start = adapted.lora_B.numpy()
    optimizer = paddle.optimizer.SGD(0.1, parameters=adapted.parameters())
    adapted(input_of(4, 12)).sum().backward()
    gradient_a, gradient_b = adapted.lora_A.grad.numpy(), adapted.lora_B.grad.numpy()
    optimizer.step()
    np.testing.assert_allclose(adapted.lora_B.numpy(), start - 0.4 * gradient_b, rtol=1e-5)
    np.testing.assert_allclose(
        adapted.lora_A.numpy(), before[1] - 0.1 * gradient_a, rtol=1e-5, atol=1e-7
    )
