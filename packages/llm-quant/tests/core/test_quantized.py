"""Packing: what the checkpoint types dequantize to is what was chosen, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.grid import Grid
from llm_quant.core.quantized import round_to_nearest


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(2).standard_normal((24, 96)).astype(np.float32)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [-1, 8, 32])
def test_int4_round_trip(weight: np.ndarray, group: int, symmetric: bool) -> None:
    found = round_to_nearest(weight, Grid(4, group, symmetric))
    packed = found.packed()
    assert isinstance(packed, Int4Weight)
    assert packed.group_size == (96 if group == -1 else group)
    assert (packed.zeros is None) == symmetric
    np.testing.assert_array_equal(packed.dequantize(), found.dequantize())
    assert len(np.unique(found.codes)) == 16


@pytest.mark.parametrize("group", [-1, 32])
def test_int8_round_trip(weight: np.ndarray, group: int) -> None:
    found = round_to_nearest(weight, Grid(8, group))
    packed = found.packed()
    assert isinstance(packed, Int8Weight)
    assert packed.scales.shape == (24, 1 if group == -1 else 3)
    np.testing.assert_array_equal(packed.dequantize(), found.dequantize())
    assert np.abs(packed.dequantize() - weight).max() < 0.02
