from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.errors import ShapeError
from llm_kernels.weights import Int4Weight, Int8Weight

DENSE = np.random.default_rng(3).standard_normal((6, 32)).astype(np.float32)


def test_a_nibble_is_an_even_column_first_and_eight_is_zero() -> None:
    packed = np.array([[0x80, 0xF7]], np.uint8)
    weight = Int4Weight(packed, np.array([[2.0]], np.float32), None, 4)
    np.testing.assert_array_equal(weight.dequantize(), [[-16.0, 0.0, -2.0, 14.0]])
    shifted = Int4Weight(packed, weight.scales, np.array([[3]], np.uint8), 4)
    np.testing.assert_array_equal(shifted.dequantize(), [[-6.0, 10.0, 8.0, 24.0]])


def test_int32_words_of_eight_nibbles_are_the_packed_bytes() -> None:
    codes = np.random.default_rng(0).integers(0, 16, (3, 16))
    shifts = 4 * np.arange(8)
    words = (codes.reshape(3, 2, 8) << shifts).sum(-1).astype(np.uint32).view(np.int32)
    weight = Int4Weight(words.view(np.uint8), np.ones((3, 1), np.float32), None, 16)
    np.testing.assert_array_equal(weight.dequantize(), codes - 8.0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group_size", [None, 8, 16])
def test_int4_rounding_is_off_by_half_a_step_at_most(
    symmetric: bool, group_size: int | None
) -> None:
    weight = Int4Weight.from_dense(DENSE, group_size, symmetric)
    assert weight.shape == DENSE.shape
    steps = np.repeat(weight.scales, weight.group_size, axis=1)
    # an offset zero point is itself rounded, and what it pushes over the edge is clipped
    slack = 0.5 if symmetric else 1.0
    assert (np.abs(weight.dequantize() - DENSE) <= slack * steps + 1e-6).all()


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_int8_rounding_is_off_by_half_a_step_at_most(rows: int, groups: int, seed: int) -> None:
    dense = np.random.default_rng(seed).standard_normal((rows, 6 * groups)).astype(np.float32)
    weight = Int8Weight.from_dense(dense, 6)
    steps = np.repeat(weight.scales, 6, axis=1)
    assert (np.abs(weight.dequantize() - dense) <= 0.5 * steps + 1e-6).all()
    assert weight.group_size == 6


def test_a_row_of_zeros_stays_zeros() -> None:
    zeros = np.zeros((2, 16), np.float32)
    for weight in (
        Int8Weight.from_dense(zeros),
        Int4Weight.from_dense(zeros),
        Int4Weight.from_dense(zeros, symmetric=False),
    ):
        np.testing.assert_array_equal(weight.dequantize(), zeros)


@pytest.mark.parametrize("kind", [Int4Weight, Int8Weight])
def test_a_transposed_view_becomes_the_same_arrays(kind: type[Int4Weight | Int8Weight]) -> None:
    turned, straight = kind.from_dense(np.asfortranarray(DENSE), 8), kind.from_dense(DENSE, 8)
    for name in {"packed", "codes", "scales"} & vars(straight).keys():
        array = getattr(turned, name)
        assert array.flags.c_contiguous, name
        np.testing.assert_array_equal(array, getattr(straight, name))


PACKED, SCALES = np.zeros((2, 16), np.uint8), np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((PACKED.astype(np.int8), SCALES, None, 8), "packed is int8"),
        ((PACKED, SCALES.astype(np.float64), None, 8), "scales is float64"),
        ((PACKED, SCALES[:, :2], None, 8), r"scales has shape \(2, 2\), expected \(2, 4\)"),
        ((PACKED, SCALES, np.zeros((2, 4), np.int8), 8), "zeros is int8"),
        ((PACKED, SCALES, np.full((2, 4), 16, np.uint8), 8), "zeros holds 16"),
        ((PACKED, SCALES, None, 12), "group_size is 12"),
        ((PACKED, np.ones((2, 8), np.float32), None, 4), "multiple of 8"),
        ((PACKED, SCALES, None, 0), "group_size is 0"),
    ],
)
def test_int4_arrays_that_do_not_fit_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Int4Weight(*arguments)


@pytest.mark.parametrize(
    ("codes", "scales", "message"),
    [
        (np.zeros((2, 8), np.uint8), np.ones((2, 1), np.float32), "codes is uint8"),
        (np.zeros((2, 8), np.int8), np.ones((3, 1), np.float32), "must have 2 rows"),
        (np.zeros((2, 8), np.int8), np.ones((2, 3), np.float32), "divides 8"),
        (np.zeros((2, 8), np.int8), np.ones(2, np.float32), "scales is float32 with 1 dim"),
    ],
)
def test_int8_arrays_that_do_not_fit_are_refused(
    codes: np.ndarray, scales: np.ndarray, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        Int8Weight(codes, scales)
