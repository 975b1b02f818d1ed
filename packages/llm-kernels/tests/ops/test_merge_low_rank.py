from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops
from llm_kernels.ops.merge_low_rank import memory_for_sum
from llm_kernels.reference import merge_low_rank

RNG = np.random.default_rng(9)
TYPES = [np.float32, np.float16, ml_dtypes.bfloat16]
# Half a unit in the last place, relative: the one rounding; and those of the sum in float32.
ROUNDING = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SHAPES = [(1, 1), (4, 32), (5, 33), (3, 7), (70, 130), (33, 64), (1, 600), (600, 1), (0, 5), (5, 0)]


def problem(shape: tuple[int, int], rank: int, dtype: Any) -> tuple[np.ndarray, ...]:
    w = RNG.standard_normal(shape).astype(dtype)
    b, a = RNG.standard_normal((shape[0], rank)), RNG.standard_normal((rank, shape[1]))
    return w, b.astype(np.float32), a.astype(np.float32)


def assert_sum(result: np.ndarray, w: np.ndarray, b: np.ndarray, a: np.ndarray) -> None:
    """`result` is w + 0.5 (b a) in float64, but for the sum in float32 and one rounding."""
    exact = w.astype(np.float64) + 0.5 * (b.astype(np.float64) @ a)
    size = np.abs(w.astype(np.float64)) + 0.5 * (np.abs(b).astype(np.float64) @ np.abs(a))
    off = np.abs(result.astype(np.float64) - exact)
    most = ROUNDING[result.dtype.name] * np.abs(exact) + (a.shape[0] + 2) * 2.0**-23 * size
    assert (off <= most).all(), (off - most).max()


@pytest.mark.parametrize("to", TYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
def test_the_sum_of_float64(
    isa: str, threads: int, shape: tuple[int, int], dtype: Any, to: Any, transposed: bool
) -> None:
    w, b, a = problem(shape, 3, dtype)
    out = memory_for_sum(shape, to, transposed=transposed)
    result = ops.merge_low_rank(w, b, a, 0.5, out=out, isa=isa, threads=threads)
    assert result.shape == shape
    assert np.shares_memory(result, out) or not result.size
    assert_sum(out, w, b, a)


@pytest.mark.parametrize("rank", [0, 1, 8, 65])
def test_any_rank_and_a_weight_that_lies_the_other_way(isa: str, rank: int) -> None:
    w, b, a = problem((40, 70), rank, np.float16)
    transposed = np.asfortranarray(w)
    result = ops.merge_low_rank(transposed, b, a, 0.5, isa=isa)
    assert result.flags.f_contiguous
    assert_sum(result, w, b, a)
    assert_sum(ops.merge_low_rank(transposed, b, a, 0.5, out=np.empty_like(w), isa=isa), w, b, a)


def test_columns_of_a_fused_weight(isa: str) -> None:
    fused, b, a = problem((40, 200), 3, np.float16)
    part = fused[:, 30:100]
    assert_sum(ops.merge_low_rank(part, b, a[:, 30:100], 0.5, isa=isa), part, b, a[:, 30:100])
    result = ops.merge_low_rank(part.T, a[:, 30:100].T, b.T, 0.5, isa=isa)
    assert result.flags.f_contiguous
    assert_sum(result.T, part, b, a[:, 30:100])


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_large_in_place_and_the_same_bits_in_every_way(isa: str, threads: int, dtype: Any) -> None:
    w, b, a = problem((544, 1030), 5, dtype)
    once = ops.merge_low_rank(w, b, a, 0.5, isa=isa, threads=threads)
    assert_sum(once, w, b, a)
    # At a cache line and beside one: lines are written whole, past the caches, or in parts.
    beside = np.empty(w.size + 1, dtype)[1:].reshape(w.shape[::-1]).T
    for transposed in (memory_for_sum(w.shape, dtype, transposed=True), beside):
        ops.merge_low_rank(w, b, a, 0.5, out=transposed, isa=isa, threads=threads)
        assert transposed.tobytes() == once.tobytes()
    some = ops.merge_low_rank(w[7:300, :].copy(), b[7:300], a, 0.5, isa=isa, threads=threads)
    assert some.tobytes() == once[7:300].tobytes()
    assert ops.merge_low_rank(w, b, a, 0.5, out=w, isa=isa, threads=threads) is w
    assert w.tobytes() == once.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_number_of_two_bytes_survives(isa: str, dtype: Any) -> None:
    """A product of zeros: every bit pattern comes back, and is widened exactly."""
    w = np.arange(1 << 16, dtype=np.uint16).view(dtype).reshape(256, 256)
    zeros = np.zeros((256, 1), np.float32)
    same = ops.merge_low_rank(w, zeros, zeros.T, isa=isa)
    wide = ops.merge_low_rank(w, zeros, zeros.T, out=np.empty((256, 256), np.float32), isa=isa)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(wide, w.astype(np.float32))
    numbers = ~np.isnan(wide) & (wide != 0)
    assert (same.view(np.uint16)[numbers] == w.view(np.uint16)[numbers]).all()
    assert np.isnan(same.astype(np.float32)[np.isnan(wide)]).all()
    assert not same[wide == 0].astype(np.float32).any()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_rounding_to_the_nearest_even(isa: str, dtype: Any) -> None:
    """As ml_dtypes and NumPy do: halves and their neighbours, subnormal and too large numbers."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    numbers = bits.view(dtype).astype(np.float32)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    with np.errstate(over="ignore"):
        halves = (numbers[:-1] / 2 + numbers[1:] / 2).astype(np.float32)
        near = [halves, np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, -halves)]
        w = np.concatenate([*near, np.float32([65519, 65520, 3.4e38, np.inf, np.nan])])[None]
        zeros = np.zeros((1, 1), np.float32)
        out = ops.merge_low_rank(
            w, zeros, np.zeros_like(w), out=np.empty(w.shape, dtype), isa=isa
        ).astype(np.float32)
        np.testing.assert_array_equal(out, w.astype(dtype).astype(np.float32))


def test_the_reference_is_the_same_sum(isa: str) -> None:
    w, b, a = problem((33, 65), 4, np.float16)
    expected = merge_low_rank(w, b, a, 0.5, np.float32)
    out = ops.merge_low_rank(w, b, a, 0.5, out=np.empty(w.shape, np.float32), isa=isa)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
    assert merge_low_rank(w, b, a).dtype == np.float16


@pytest.mark.parametrize("transposed", [False, True])
def test_memory_begins_at_a_cache_line(transposed: bool) -> None:
    for shape in ((5, 7), (0, 4)):
        memory = memory_for_sum(shape, np.float16, transposed=transposed)
        assert memory.shape == shape
        assert (memory.T if transposed else memory).flags.c_contiguous
        assert memory.ctypes.data % 64 == 0 or not memory.size


W, B, A = np.zeros((4, 8), np.float32), np.zeros((4, 2), np.float32), np.zeros((2, 8), np.float32)


@pytest.mark.parametrize(
    ("w", "b", "a", "out"),
    [
        (W.astype(np.float64), B, A, None),
        (np.zeros((4, 16), np.float32)[:, ::2], B, A, None),
        (W[::-1], B, A, None),
        (W[0], B, A, None),
        (W, B[:3], A, None),
        (W, B, A[:1], None),
        (W, B, A[:, :7], None),
        (W, B, A, np.zeros((8, 4), np.float32)),
        (W, B, A, np.zeros((4, 8), np.int32)),
        (W, B, A, np.zeros((4, 16), np.float32)[:, :8]),
    ],
)
def test_other_arrays_are_refused(
    w: np.ndarray, b: np.ndarray, a: np.ndarray, out: np.ndarray | None
) -> None:
    with pytest.raises(ValueError, match="needed"):
        ops.merge_low_rank(w, b, a, out=out)


def test_an_output_that_overlaps_is_refused() -> None:
    square = np.zeros((5, 4), np.float32)
    b, a = np.zeros((4, 1), np.float32), np.zeros((1, 4), np.float32)
    for out in (square[1:], square[:-1].T):
        with pytest.raises(ValueError, match="overlaps"):
            ops.merge_low_rank(square[:-1], b, a, out=out)
