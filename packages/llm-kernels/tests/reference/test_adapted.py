"""A weight with an adapter beside it computes what the merged weight computes."""

from __future__ import annotations

import numpy as np

from llm_kernels.reference import Adapted, dense, linear


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
