"""The norms against float64 formulas, values and gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_kernels.paddle.norms import LayerNorm, RmsNorm
from llm_kernels.reference import layer_norm, rms_norm


def test_rms_norm_is_the_reference() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 5, 16)), rng.standard_normal(16)
    norm = RmsNorm(16, 1e-5)
    norm.weight.set_value(weight.astype(np.float32))
    actual = norm(paddle.to_tensor(x.astype(np.float32))).numpy()
    assert actual.shape == x.shape
    np.testing.assert_allclose(actual, rms_norm(x, weight, 1e-5), atol=2e-6)


def test_rms_norm_backward_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    x, weight, grad = (
        rng.standard_normal((4, 8)),
        rng.standard_normal(8),
        rng.standard_normal((4, 8)),
    )
    norm = RmsNorm(8, 1e-5)
    norm.weight.set_value(weight.astype(np.float32))
    tensor = paddle.to_tensor(x.astype(np.float32), stop_gradient=False)
    (norm(tensor) * paddle.to_tensor(grad.astype(np.float32))).sum().backward()
    inverse = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    pulled = grad * weight
    expected = inverse * (pulled - x * inverse**2 * (pulled * x).mean(-1, keepdims=True))
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(norm.weight.grad.numpy(), (grad * x * inverse).sum(0), atol=1e-5)


def test_layer_norm_is_the_reference() -> None:
    rng = np.random.default_rng(2)
    x, weight, bias = rng.standard_normal((3, 16)), rng.standard_normal(16), rng.standard_normal(16)
    norm = LayerNorm(16, 1e-5)
    norm.weight.set_value(weight.astype(np.float32))
    norm.bias.set_value(bias.astype(np.float32))
    actual = norm(paddle.to_tensor(x.astype(np.float32))).numpy()
    np.testing.assert_allclose(actual, layer_norm(x, weight, bias, 1e-5), atol=2e-6)


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_rms_norm_of_tiny_and_huge_rows(size: float) -> None:
    x = np.random.default_rng(3).standard_normal((2, 64)) * size
    actual = RmsNorm(64, 1e-6)(paddle.to_tensor(x.astype(np.float32))).numpy()
    np.testing.assert_allclose(actual, rms_norm(x, np.ones(64), 1e-6), rtol=2e-5, atol=1e-6)
