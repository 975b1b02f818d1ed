"""Rounding to eight bits against float64 arithmetic and the grid of e4m3 numbers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_convert.quantization.casting import cast_scheme, rounded

E4M3 = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
GRIDS = {"float8": np.unique(E4M3[np.isfinite(E4M3)]), "int8": np.arange(-127, 128.0)}
TYPES = ("float32", "float16", "bfloat16")


def scale_types() -> list[np.dtype]:
    return [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("scale_dtype", scale_types(), ids=str)
@pytest.mark.parametrize("name", ["float8", "int8"])
def test_every_entry_is_the_nearest_number_of_the_grid(name: str, scale_dtype: np.dtype) -> None:
    rng = np.random.default_rng()
    dense = rng.standard_normal((24, 40)) * np.exp(rng.uniform(-3, 3, (24, 1)))
    scheme = cast_scheme(name)
    assert scheme is not None
    weight = rounded(dense.astype(np.float32), scheme, scale_dtype)
    dense = dense.astype(np.float32).astype(np.float64)
    grid = GRIDS[name]
    exact = np.abs(dense).max(1, keepdims=True) / grid[-1]
    precision = float(ml_dtypes.finfo(scale_dtype).eps)
    np.testing.assert_allclose(weight.scales, exact, rtol=precision)
    assert (weight.scales.astype(scale_dtype).astype(np.float32) == weight.scales).all()
    distances = np.abs(dense[..., None] - grid * weight.scales[..., None].astype(np.float64))
    error = np.abs(weight.dequantize() - dense)
    slack = 1e-6 * np.abs(dense).max(1, keepdims=True)
    assert (error <= distances.min(-1) + slack).all()


@pytest.mark.parametrize("scale_dtype", scale_types(), ids=str)
@pytest.mark.parametrize("name", ["float8", "int8"])
def test_rows_of_zeros_and_of_very_small_numbers(name: str, scale_dtype: np.dtype) -> None:
    dense = np.array([[0, 0, 0], [1e-30, -1e-30, 0], [6e4, -6e4, 1]], np.float32)
    scheme = cast_scheme(name)
    assert scheme is not None
    weight = rounded(dense, scheme, scale_dtype)
    found = weight.dequantize()
    assert np.isfinite(found).all()
    assert (found[0] == 0).all()
    assert np.abs(found[1]).max() <= 2e-30
    np.testing.assert_allclose(found[2, :2], dense[2, :2], rtol=5e-3)


@pytest.mark.parametrize("name", [*TYPES, "q8_0", None])
def test_other_types_need_no_scales(name: str | None) -> None:
    assert cast_scheme(name) is None
