from __future__ import annotations

import numpy as np
import pytest

from llm_kernels import ops, reference

RNG = np.random.default_rng(21)


@pytest.mark.parametrize("width", [1, 7, 16, 64, 333, 4096])
@pytest.mark.parametrize("rows", [1, 9])
def test_equals_the_reference(isa: str, threads: int, rows: int, width: int) -> None:
    x = (5 * RNG.standard_normal((rows, width))).astype(np.float32)
    weight = RNG.standard_normal(width).astype(np.float32)
    found = ops.rms_norm(x, weight, 1e-5, isa=isa, threads=threads)
    np.testing.assert_allclose(found, reference.rms_norm(x, weight, 1e-5), rtol=2e-6, atol=1e-6)


def test_eps_keeps_zeros_finite(isa: str) -> None:
    zeros = np.zeros((2, 12), np.float32)
    np.testing.assert_array_equal(ops.rms_norm(zeros, zeros[0] + 1, 1e-6, isa=isa), zeros)


def test_shapes_that_do_not_fit_are_refused() -> None:
    x = np.ones((2, 12), np.float32)
    with pytest.raises(ValueError, match=r"weight has shape \[11\]; \[12\] is needed"):
        ops.rms_norm(x, np.ones(11, np.float32), 1e-5)
    with pytest.raises(ValueError, match="x has dtype int64"):
        ops.rms_norm(np.ones((2, 12), np.int64), x[0], 1e-5)
    with pytest.raises(ValueError, match="x has shape"):
        ops.rms_norm(x[0], x[0], 1e-5)
