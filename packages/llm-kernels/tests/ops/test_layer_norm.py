from __future__ import annotations

import numpy as np
import pytest

from llm_kernels import ops, reference

RNG = np.random.default_rng(22)


@pytest.mark.parametrize("width", [5, 7, 16, 64, 333, 4096])
@pytest.mark.parametrize("rows", [1, 9])
def test_equals_the_reference(isa: str, threads: int, rows: int, width: int) -> None:
    x = (1 + RNG.standard_normal((rows, width))).astype(np.float32)
    weight, bias = (RNG.standard_normal(width).astype(np.float32) for _ in range(2))
    found = ops.layer_norm(x, weight, bias, 1e-5, isa=isa, threads=threads)
    expected = reference.layer_norm(x, weight, bias, 1e-5)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=5e-6)


def test_no_bias_is_a_bias_of_zeros(isa: str) -> None:
    x, weight = RNG.standard_normal((3, 20)).astype(np.float32), np.full(20, 2, np.float32)
    np.testing.assert_array_equal(
        ops.layer_norm(x, weight, None, 1e-5, isa=isa),
        ops.layer_norm(x, weight, np.zeros(20, np.float32), 1e-5, isa=isa),
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    x = np.ones((2, 12), np.float32)
    with pytest.raises(ValueError, match=r"bias has shape \[3\]; \[12\] is needed"):
        ops.layer_norm(x, x[0], x[0, :3].copy(), 1e-5)
    with pytest.raises(ValueError, match="weight has dtype float64"):
        ops.layer_norm(x, np.ones(12), None, 1e-5)
