from __future__ import annotations

import numpy as np
import pytest

from llm_kernels.reference import Adapted, dense, linear
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


@pytest.mark.parametrize("turned", [False, True])
def test_large_weights_of_half_precision_count_block_by_block(turned: bool) -> None:
    """4100 rows of 600: more than one block, and the last one is not whole."""
    weight = RNG.standard_normal((4100, 600)).astype(np.float16)
    weight = np.asfortranarray(weight) if turned else weight
    x = RNG.standard_normal((2, 3, 600)).astype(np.float32)
    expected = np.einsum("btk,nk->btn", x.astype(np.float64), weight.astype(np.float64))
    np.testing.assert_allclose(linear(x, weight), expected, atol=2e-4)


@pytest.mark.parametrize(
    "packed", [Int4Weight.from_dense(WEIGHT, 8), Int8Weight.from_dense(WEIGHT)]
)
def test_quantized_weights_count_as_what_they_dequantize_to(
    packed: Int4Weight | Int8Weight,
) -> None:
    np.testing.assert_array_equal(dense(packed), packed.dequantize())
    np.testing.assert_allclose(linear(X, packed), X @ packed.dequantize().T, atol=1e-5)
    assert np.abs(dense(packed) - WEIGHT).max() < 0.3


def test_the_detour_equals_the_merged_weight_in_float64() -> None:
    random = np.random.default_rng(7)
    base, a, b = (random.standard_normal(shape) for shape in ((5, 9), (9, 2), (2, 5)))
    x, bias = random.standard_normal((3, 4, 9)), random.standard_normal(5)
    adapted = Adapted(*(array.astype(np.float32) for array in (base, a, b)), scaling=1.5)
    merged = base + 1.5 * (a @ b).T
    np.testing.assert_allclose(dense(adapted), merged, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(linear(x, adapted, bias), x @ merged.T + bias, rtol=1e-5, atol=1e-5)


def test_an_adapter_of_zeros_changes_nothing() -> None:
    random = np.random.default_rng(8)
    base = random.standard_normal((5, 9)).astype(np.float32)
    x = random.standard_normal((4, 9)).astype(np.float32)
    a, b = random.standard_normal((9, 2)).astype(np.float32), np.zeros((2, 5), np.float32)
    np.testing.assert_array_equal(linear(x, Adapted(base, a, b, 3.0)), linear(x, base))
