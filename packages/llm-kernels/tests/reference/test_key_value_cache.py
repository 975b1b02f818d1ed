from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_kernels.reference import dequantize_cache, kept, quantize_cache

HEADS = np.random.default_rng(0).standard_normal((5, 3, 16)).astype(np.float32)


def test_every_head_has_its_own_scale() -> None:
    codes, scales = quantize_cache(HEADS)
    assert (codes.dtype, scales.shape) == (np.int8, (5, 3))
    np.testing.assert_array_equal(np.abs(codes).max(axis=-1), np.full((5, 3), 127))
    error = np.abs(dequantize_cache(codes, scales) - HEADS)
    assert (error <= scales[..., None] * 0.5001).all()


def test_given_scales_cut_off_what_is_beyond_them() -> None:
    codes, scales = quantize_cache(np.array([[0.25, -9, 0.5, 9, 0.75]]), np.array([0.5]))
    np.testing.assert_array_equal(codes, [[0, -18, 1, 18, 2]])  # halves to even
    np.testing.assert_array_equal(scales, [0.5])
    codes, _ = quantize_cache(np.array([[100.0, -100.0]]), np.array([0.5]))
    np.testing.assert_array_equal(codes, [[127, -127]])


def test_zeros_stay_zeros() -> None:
    codes, scales = quantize_cache(np.zeros((2, 4)))
    assert (codes == 0).all()
    assert (scales == 1).all()


def test_what_is_kept() -> None:
    np.testing.assert_array_equal(kept(HEADS, "float32"), HEADS)
    halves = HEADS.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(kept(HEADS, "bfloat16"), halves)
    given = np.array([0.01, 0.02, 0.03], np.float32)
    assert np.abs(kept(HEADS, "int8") - HEADS).max() < 0.02
    coarse = np.abs(kept(HEADS, "int8", given)).max(axis=(0, 2))
    assert coarse == pytest.approx(
        np.minimum(np.abs(HEADS).max(axis=(0, 2)), 127 * given), abs=0.02
    )
