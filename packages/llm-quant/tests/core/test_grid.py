"""Grids: what a scale and a zero point must satisfy, whatever the weights."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_quant.core.grid import Grid, dequantize_group, fit, fit_group, round_codes


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_error_of_rounding_stays_within_half_a_step(bits: int, symmetric: bool) -> None:
    grid = Grid(bits, 16, symmetric)
    weight = weights((7, 64)) + np.float32(0.3)
    steps = fit(weight, grid)
    codes = round_codes(weight, steps, grid)
    assert steps.scales.shape == steps.zeros.shape == (7, 4)
    assert codes.dtype == np.uint8
    assert codes.max() <= grid.top
    back = dequantize_group(codes.reshape(7, 4, 16).astype(np.float32), steps).reshape(7, 64)
    # A symmetric grid reaches one half step less far on its positive side than its range.
    limit = np.repeat(steps.scales, 16, axis=1) * (0.5 + 1e-4)
    assert (np.abs(back - weight) <= limit).all()


def test_zero_is_always_on_the_grid() -> None:
    for symmetric in (True, False):
        grid = Grid(4, 8, symmetric)
        weight = np.abs(weights((3, 8))) + 1
        weight[:, 3] = 0
        steps = fit(weight, grid)
        codes = round_codes(weight, steps, grid).astype(np.float32)
        assert (dequantize_group(codes.reshape(3, 1, 8), steps)[:, 0, 3] == 0).all()


def test_an_asymmetric_grid_fits_one_sided_weights_better() -> None:
    weight = np.abs(weights((4, 32)))
    errors = []
    for symmetric in (True, False):
        grid = Grid(4, 32, symmetric)
        steps = fit(weight, grid)
        codes = round_codes(weight, steps, grid).astype(np.float32)
        errors.append(
            float(np.square(dequantize_group(codes[:, None], steps)[:, 0] - weight).sum())
        )
    assert errors[1] < errors[0] / 2


def test_a_group_of_zeros_keeps_a_usable_scale() -> None:
    for symmetric in (True, False):
        steps = fit_group(np.zeros((2, 8), np.float32), Grid(4, 8, symmetric))
        assert (steps.scales == 1).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_scales_are_rounded_to_the_stored_dtype_before_the_codes(dtype: type) -> None:
    grid = Grid(4, 16, symmetric=False, scale_dtype=np.dtype(dtype))
    steps = fit(weights((5, 32)), grid)
    assert steps.scales.dtype == np.float32
    assert (steps.scales.astype(dtype).astype(np.float32) == steps.scales).all()
    assert not (steps.scales == fit(weights((5, 32)), Grid(4, 16, symmetric=False)).scales).all()


def test_search_lowers_the_error_of_weights_with_an_outlier() -> None:
    weight = weights((16, 128))
    weight[:, 5] = 12
    squared = []
    for search in (False, True):
        grid = Grid(4, 128, search=search)
        steps = fit(weight, grid)
        codes = round_codes(weight, steps, grid).astype(np.float32)
        back = dequantize_group(codes[:, None], steps)[:, 0]
        squared.append(np.square(back - weight).sum(axis=1))
    assert (squared[1] <= squared[0]).all()
    assert squared[1].sum() < 0.95 * squared[0].sum()
