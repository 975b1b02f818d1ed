from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import reference
from llm_kernels.errors import ShapeError
from llm_kernels.weights import Float8Weight, InputRounding, Int8Weight, RoundedInputs

X = np.random.default_rng(4).standard_normal((3, 300)).astype(np.float32)


def test_blocks_end_at_multiples_of_128_and_of_the_group() -> None:
    rounded = InputRounding("int8_block").apply(X, 100)
    for begin, end in ((0, 100), (100, 128), (128, 200), (200, 256), (256, 300)):
        steps = np.abs(X[:, begin:end]).max(-1, keepdims=True) / 127
        codes = rounded[:, begin:end] / steps
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        assert np.abs(np.rint(codes)).max() == 127
        assert (np.abs(rounded - X)[:, begin:end] <= 0.5001 * steps).all()


def test_static_inputs_saturate() -> None:
    rounded = InputRounding("int8_static", 0.01).apply(X, 300)
    np.testing.assert_allclose(rounded, np.clip(np.rint(X / 0.01), -127, 127) * 0.01, atol=2e-6)
    small = InputRounding("float8_static", 0.001).apply(X, 300)
    assert np.abs(small).max() == pytest.approx(0.448)


def test_float8_inputs_are_numbers_of_e4m3() -> None:
    scale = np.abs(X).max(-1, keepdims=True) / np.float32(448)
    expected = (X / scale).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * scale
    np.testing.assert_allclose(InputRounding("float8_token").apply(X, 300), expected, rtol=0.08)


def test_a_linear_multiplies_rounded_inputs() -> None:
    weight = Int8Weight.from_dense(X)
    rounded = RoundedInputs(weight, InputRounding("int8_token"))
    expected = InputRounding("int8_token").apply(X, 300) @ weight.dequantize().T
    np.testing.assert_allclose(reference.linear(X, rounded), expected, rtol=1e-6)
    assert rounded.shape == weight.shape
    assert rounded.nbytes == weight.nbytes
    np.testing.assert_array_equal(rounded.dequantize(), weight.dequantize())


def test_products_that_no_kernel_has_are_refused() -> None:
    with pytest.raises(ShapeError, match="float8_token do not meet a Int8Weight"):
        RoundedInputs(Int8Weight.from_dense(X), InputRounding("float8_token"))
    with pytest.raises(ShapeError, match="int8_block do not meet a Float8Weight"):
        RoundedInputs(Float8Weight.from_dense(X), InputRounding("int8_block"))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_static_rounding_needs_a_scale(scale: float) -> None:
    with pytest.raises(ShapeError, match="must be positive"):
        InputRounding("int8_static", scale)
