from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.weights import Float8Weight

DENSE = np.random.default_rng(3).standard_normal((6, 32)).astype(np.float32)


@pytest.mark.parametrize("group_size", [None, 8])
def test_rounding_keeps_three_bits_of_mantissa(group_size: int | None) -> None:
    weight = Float8Weight.from_dense(DENSE, group_size)
    assert weight.shape == DENSE.shape
    steps = np.repeat(weight.scales, weight.group_size, axis=1)
    error = np.abs(weight.dequantize() - DENSE)
    # half a step of the mantissa, or of the subnormal numbers
    assert (error <= np.maximum(np.abs(DENSE) / 16, steps * 2**-10) * 1.001).all()


def test_the_largest_number_is_met() -> None:
    weight = Float8Weight.from_dense(np.array([[1.0, -2.0, 0.0, 0.5]], np.float32))
    np.testing.assert_allclose(weight.dequantize(), [[1.0, -2.0, 0.0, 0.5]], rtol=1e-6)
    assert weight.nbytes == 4 + 4


def test_codes_that_are_no_numbers_are_refused() -> None:
    codes = np.array([[1.0, np.nan]], np.float32).astype(ml_dtypes.float8_e4m3fn)
    with pytest.raises(ShapeError, match="codes holds NaN"):
        Float8Weight(codes, np.ones((1, 1), np.float32))


def test_arrays_that_do_not_fit_are_refused() -> None:
    codes = DENSE.astype(ml_dtypes.float8_e4m3fn)
    with pytest.raises(ShapeError, match="divides 32"):
        Float8Weight(codes, np.ones((6, 5), np.float32))
    with pytest.raises(ShapeError, match="float8_e4m3fn with 2 is needed"):
        Float8Weight(DENSE, np.ones((6, 1), np.float32))  # type: ignore[arg-type]
