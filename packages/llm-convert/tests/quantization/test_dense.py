"""Weights as arrays: the numbers of `llm_kernels.weights`, bit by bit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_convert.quantization import dense as module
from llm_convert.quantization.dense import dense
from llm_kernels.weights import (
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    RoundedInputs,
)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng().standard_normal((37, 24)).astype(np.float32)


@pytest.mark.parametrize("entries", [1, 100, 1 << 18])
@pytest.mark.parametrize("groups", [1, 2, 6, 24])
def test_every_code_of_float8(groups: int, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 254 numbers, subnormal ones and both zeros, against float64."""
    monkeypatch.setattr(module, "_ENTRIES", entries)
    rng = np.random.default_rng()
    bits = np.setdiff1d(np.arange(256, dtype=np.uint8), [0x7F, 0xFF])
    codes = rng.permutation(np.concatenate([bits, rng.choice(bits, 12 * 24 - 254)]))
    codes = codes.reshape(12, 24).view(ml_dtypes.float8_e4m3fn)
    scales = rng.uniform(1e-6, 1e3, (12, groups)).astype(np.float32)
    weight = Float8Weight(codes, scales)
    wide = np.repeat(scales.astype(np.float64), 24 // groups, axis=1)
    expected = (codes.astype(np.float64) * wide).astype(np.float32)
    np.testing.assert_array_equal(dense(weight), expected)
    np.testing.assert_array_equal(dense(weight), weight.dequantize())
    rounded = RoundedInputs(weight, InputRounding("float8_token"))
    np.testing.assert_array_equal(dense(rounded), expected)


def test_other_weights(numbers: np.ndarray) -> None:
    for weight in (Int4Weight.from_dense(numbers, 8), Int8Weight.from_dense(numbers)):
        np.testing.assert_array_equal(dense(weight), weight.dequantize())
    assert dense(numbers) is numbers
