from __future__ import annotations

import numpy as np
import pytest

from llm_kernels.reference import dense, linear
from llm_kernels.weights import Int4Weight, Int8Weight

RNG = np.random.default_rng(11)
WEIGHT = RNG.standard_normal((6, 16)).astype(np.float32)
X = RNG.standard_normal((2, 3, 16)).astype(np.float32)


@pytest.mark.parametrize("bias", [None, RNG.standard_normal(6).astype(np.float32)])
def test_linear_is_the_product_in_float64(bias: np.ndarray | None) -> None:
    expected = np.einsum("btk,nk->btn", X.astype(np.float64), WEIGHT.astype(np.float64))
    result = linear(X, WEIGHT, bias)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected if bias is None else expected + bias, atol=1e-5)


def test_half_precision_weights_compute_in_float32() -> None:
    half = WEIGHT.astype(np.float16)
    result = linear(X, half, half[:, 0])
    assert result.dtype == np.float32
    wide = half.astype(np.float64)
    np.testing.assert_allclose(result, X @ wide.T + wide[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    "packed", [Int4Weight.from_dense(WEIGHT, 8), Int8Weight.from_dense(WEIGHT)]
)
def test_quantized_weights_count_as_what_they_dequantize_to(
    packed: Int4Weight | Int8Weight,
) -> None:
    np.testing.assert_array_equal(dense(packed), packed.dequantize())
    np.testing.assert_allclose(linear(X, packed), X @ packed.dequantize().T, atol=1e-5)
    assert np.abs(dense(packed) - WEIGHT).max() < 0.3
