from __future__ import annotations

import ml_dtypes
import numpy as np

from llm_kernels.reference import Adapted, dense, merge_low_rank

RNG = np.random.default_rng(12)
W, B, A = (RNG.standard_normal(shape).astype(np.float32) for shape in ((6, 9), (6, 2), (2, 9)))


def test_it_is_the_weight_beside_its_adapter() -> None:
    merged = merge_low_rank(W, B, A, 1.5)
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, dense(Adapted(W, A.T, B.T, 1.5)), rtol=1e-5, atol=1e-6)


def test_it_rounds_once() -> None:
    merged = merge_low_rank(W, B, A, 1.5, ml_dtypes.bfloat16)
    exact = W.astype(np.float64) + 1.5 * (B.astype(np.float64) @ A)
    assert np.array_equal(merged, exact.astype(np.float32).astype(ml_dtypes.bfloat16))
