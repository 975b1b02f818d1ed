from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_convert.errors import QuantizationError
from llm_convert.layout import (
    Interleaving,
    half_to_pairs,
    join_rows,
    on_rows,
    pairs_to_half,
    transpose,
)
from llm_kernels.weights import InputRounding, Int4Weight, Int8Weight, RoundedInputs

SHAPES = st.tuples(st.integers(1, 4), st.lists(st.integers(1, 5), min_size=1, max_size=4))


@settings(deadline=None)
@given(SHAPES, st.sampled_from([(), (3,)]), st.integers(0, 2**32 - 1))
def test_fused_rows_split_into_what_was_joined(
    shape: tuple[int, list[int]], tail: tuple[int, ...], seed: int
) -> None:
    groups, members = shape
    rng = np.random.default_rng(seed)
    fusion = Interleaving(groups, tuple(members))
    parts = [rng.standard_normal((groups * rows, *tail)) for rows in members]
    fused = fusion.join(parts)
    assert len(fused) == fusion.rows
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(fusion.split(fused, number), part)


def test_blocked_and_per_head_orders() -> None:
    q, k, v = np.arange(8), np.arange(10, 14), np.arange(20, 24)
    blocked = Interleaving(1, (8, 4, 4)).join([q, k, v])
    assert blocked.tolist() == [*range(8), *range(10, 14), *range(20, 24)]
    # Two KV heads of two rows, two query heads each.
    grouped = Interleaving(2, (4, 2, 2)).join([q, k, v])
    assert grouped.tolist() == [0, 1, 2, 3, 10, 11, 20, 21, 4, 5, 6, 7, 12, 13, 22, 23]


def test_parts_of_a_blocked_weight_are_views() -> None:
    fused = np.zeros((12, 5))
    assert np.shares_memory(Interleaving(1, (4, 4, 4)).split(fused, 1), fused)


@settings(deadline=None)
@given(heads=st.integers(1, 5), half=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_rotary_orders_are_inverse(heads: int, half: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((heads * 2 * half, 3))
    np.testing.assert_array_equal(half_to_pairs(pairs_to_half(rows, 2 * half), 2 * half), rows)
    np.testing.assert_array_equal(pairs_to_half(half_to_pairs(rows, 2 * half), 2 * half), rows)


def test_adjacent_pairs_move_half_a_head_apart() -> None:
    assert pairs_to_half(np.arange(8), 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def packed_weights(seed: int) -> list[Int4Weight | Int8Weight]:
    dense = np.random.default_rng(seed).standard_normal((12, 16)).astype(np.float32)
    return [
        Int4Weight.from_dense(dense, 8),
        Int4Weight.from_dense(dense, 8, symmetric=False),
        Int8Weight.from_dense(dense),
    ]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("fusion", [Interleaving(1, (4, 4, 4)), Interleaving(2, (3, 2, 1))])
def test_rows_of_packed_weights_split_and_join(number: int, fusion: Interleaving) -> None:
    packed = packed_weights(1)[number]
    dense = packed.dequantize()
    parts = [on_rows(packed, lambda rows, n=n: fusion.split(rows, n)) for n in range(3)]
    for n, part in enumerate(parts):
        assert type(part) is type(packed)
        np.testing.assert_array_equal(part.dequantize(), fusion.split(dense, n))
    again = join_rows(parts, fusion.join)
    assert not isinstance(again, np.ndarray)
    np.testing.assert_array_equal(again.dequantize(), dense)


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_weights_with_rounded_inputs_join_where_the_rounding_is_one(scale: float) -> None:
    weight = packed_weights(4)[2]
    fusion = Interleaving(1, (12, 12))
    one, other = (
        RoundedInputs(weight, InputRounding("int8_static", each)) for each in (0.25, scale)
    )
    if scale != 0.25:
        with pytest.raises(QuantizationError, match="quantized differently"):
            join_rows([one, other], fusion.join)
        return
    joined = join_rows([one, other], fusion.join)
    assert isinstance(joined, RoundedInputs)
    assert joined.rounding == one.rounding
    np.testing.assert_array_equal(joined.dequantize(), np.tile(weight.dequantize(), (2, 1)))


def test_weights_held_differently_are_not_joined() -> None:
    symmetric, asymmetric, eight = packed_weights(2)
    plain = np.zeros((12, 16), np.float32)
    fusion = Interleaving(1, (12, 12))
    for pair in ([symmetric, asymmetric], [symmetric, eight], [symmetric, plain], [plain, eight]):
        with pytest.raises(QuantizationError, match="quantized differently"):
            join_rows(pair, fusion.join)


def test_packed_weights_are_not_transposed() -> None:
    with pytest.raises(QuantizationError, match=r"up_proj\.weight is quantized.*naming 'hf'"):
        transpose(packed_weights(3)[0], "up_proj.weight")
