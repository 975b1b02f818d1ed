"""No finite number becomes infinite unseen, whatever type it comes from."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_convert.errors import ConvertError
from llm_convert.files import narrowing
from llm_convert.files.narrowing import narrowed

RNG = np.random.default_rng(8)
WIDER = [(np.float32, 7e4), (np.float64, 7e4), (ml_dtypes.bfloat16, 7e4)]


@pytest.mark.parametrize(("source", "large"), WIDER)
@pytest.mark.parametrize("place", [(0, 0), (99, 6), (50, 3)])
@pytest.mark.parametrize("transposed", [False, True])
def test_numbers_above_the_largest_half_are_refused(
    source: type[np.generic],
    large: float,
    place: tuple[int, int],
    transposed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(narrowing, "_BLOCK_NUMBERS", 40)
    array = RNG.standard_normal((100, 7)).astype(source)
    array = np.asfortranarray(array) if transposed else array
    fitting = narrowed("x", array, np.dtype(np.float16))
    np.testing.assert_array_equal(fitting, array.astype(np.float32).astype(np.float16))
    array[place] = large
    with pytest.raises(ConvertError, match=r"^x holds numbers too large for float16.*--dtype"):
        narrowed("x", array, np.dtype(np.float16))


@pytest.mark.parametrize("source", [np.float32, ml_dtypes.bfloat16])
def test_numbers_that_are_infinite_already_stay(source: type[np.generic]) -> None:
    array = np.array([[1, np.inf, np.nan, -np.inf]], source)
    found = narrowed("x", array, np.dtype(np.float16)).astype(np.float64)
    np.testing.assert_array_equal(found, [[1, np.inf, np.nan, -np.inf]])


def test_the_largest_float_has_no_bfloat16() -> None:
    array = np.array([np.finfo(np.float32).max], np.float32)
    with pytest.raises(ConvertError, match="too large for bfloat16"):
        narrowed("x", array, np.dtype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (4,), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.float32)
    found = narrowed("x", array, np.dtype(np.float16))
    assert (found.shape, found.dtype) == (shape, np.float16)
    assert narrowed("x", array, array.dtype) is array
