from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.reference import layer_norm, rms_norm, unit_rows


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 70), scale=st.sampled_from([1e-3, 1e4]))
def test_norms_are_their_formulas(seed: int, width: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = (scale * rng.standard_normal((4, width))).astype(np.float32)
    weight, bias = rng.standard_normal((2, width)).astype(np.float32)
    wide = x.astype(np.float64)
    for row, of_rms, of_layer in zip(
        wide, rms_norm(x, weight, 1e-5), layer_norm(x, weight, bias, 1e-5), strict=True
    ):
        rms = row / np.sqrt(np.mean(row**2) + 1e-5) * weight
        np.testing.assert_allclose(of_rms, rms, rtol=1e-5, atol=1e-6)
        layer = (row - row.mean()) / np.sqrt(row.var() + 1e-5) * weight + bias
        np.testing.assert_allclose(of_layer, layer, rtol=1e-5, atol=1e-6)


def test_layer_norm_survives_a_large_mean() -> None:
    x = np.array([[10_000.0, 10_001.0, 10_002.0, 10_003.0]], dtype=np.float32)
    result = layer_norm(x, np.ones(4, np.float32), np.zeros(4, np.float32), 0.0)
    np.testing.assert_allclose(result[0], np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)


def test_unit_rows_have_length_one_and_keep_their_direction() -> None:
    rows = np.random.default_rng(2).standard_normal((5, 9)).astype(np.float32)
    rows[3] = 0
    unit = unit_rows(rows)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(unit * np.linalg.norm(rows, axis=1)[:, None], rows, atol=1e-6)
