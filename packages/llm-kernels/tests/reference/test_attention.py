from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.reference import (
    alibi_bias,
    alibi_slopes,
    attention,
    bfloat16,
    paged_attention,
    soft_cap,
    visible,
)


def naive(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, window: int | None, prefix: int, slopes: np.ndarray
) -> np.ndarray:
    """The definition, one score at a time in Python floats."""
    tokens, heads, dim = q.shape
    keys, groups, _ = k.shape
    out = np.zeros(q.shape)
    for t in range(tokens):
        at = keys - tokens + t
        for h in range(heads):
            g = h // (heads // groups)
            terms = []
            for s in range(keys):
                near = window is None or at - s < window
                if (s <= at or s < prefix) and near:
                    dot = float(q[t, h].astype(np.float64) @ k[s, g].astype(np.float64))
                    terms.append((s, dot / sqrt(dim) + float(slopes[h]) * s))
            top = max(score for _, score in terms)
            total = sum(exp(score - top) for _, score in terms)
            for s, score in terms:
                out[t, h] += exp(score - top) / total * v[s, g]
    return out


@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.integers(1, 5),
    cached=st.integers(0, 6),
    groups=st.integers(1, 3),
    repeat=st.integers(1, 3),
    window=st.none() | st.integers(1, 8),
    prefix=st.integers(0, 4),
    alibi=st.booleans(),
)
def test_attention_is_its_definition(
    seed: int,
    tokens: int,
    cached: int,
    groups: int,
    repeat: int,
    window: int | None,
    prefix: int,
    alibi: bool,
) -> None:
    rng = np.random.default_rng(seed)
    keys = tokens + cached
    q = rng.standard_normal((tokens, groups * repeat, 6)).astype(np.float32)
    k, v = rng.standard_normal((2, keys, groups, 6)).astype(np.float32)
    slopes = alibi_slopes(groups * repeat)
    result = attention(
        q,
        k,
        v,
        mask=visible(tokens, keys, window=window, prefix=prefix),
        slopes=slopes if alibi else None,
    )
    expected = naive(q, k, v, window, prefix, slopes if alibi else 0 * slopes)
    np.testing.assert_allclose(result, expected, atol=2e-6)


@given(seed=st.integers(0, 2**32 - 1), tokens=st.integers(1, 4), length=st.integers(4, 17))
def test_blocks_hold_what_a_contiguous_cache_holds(seed: int, tokens: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    block = 4
    q = rng.standard_normal((tokens, 4, 8)).astype(np.float32)
    k, v = rng.standard_normal((2, length, 2, 8)).astype(np.float32)
    count = -(-length // block)
    table = rng.permutation(count + 3)[:count]
    key_blocks, value_blocks = np.full((2, count + 3, block, 2, 8), np.nan, np.float32)
    for place, index in enumerate(table):
        rows = slice(place * block, min((place + 1) * block, length))
        key_blocks[index, : rows.stop - rows.start] = k[rows]
        value_blocks[index, : rows.stop - rows.start] = v[rows]
    # Entries beyond the context are never read.
    padded = np.concatenate([table, [10_000]])
    slopes = alibi_slopes(4)
    result = paged_attention(
        q, key_blocks, value_blocks, padded, length, window=9, prefix=2, slopes=slopes
    )
    mask = visible(tokens, length, window=9, prefix=2)
    np.testing.assert_array_equal(result, attention(q, k, v, mask=mask, slopes=slopes))


# transformers' build_alibi_tensor; the paper gives the series for powers of two.
@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (1, [2**-8]),
        (4, [0.25, 0.0625, 0.015625, 0.00390625]),
        (6, [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]),
        (8, [0.5**n for n in range(1, 9)]),
    ],
)
def test_alibi_slopes(heads: int, slopes: list[float]) -> None:
    np.testing.assert_allclose(alibi_slopes(heads), slopes, rtol=1e-6)


def test_alibi_slopes_of_baichuan_13b() -> None:
    slopes = alibi_slopes(40)
    expected = [0.8408964276313782, 0.7071068286895752, 0.003906251862645149, 0.9170040488243103]
    np.testing.assert_allclose(slopes[[0, 1, 31, 32]], expected, rtol=1e-6)
    assert slopes[39] == pytest.approx(0.27262696623802185, rel=1e-6)


def test_masks() -> None:
    assert visible(2, 3).astype(int).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert visible(3, 3, prefix=2).astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    assert visible(3, 3, window=1).astype(int).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_query_that_sees_nothing_gets_zeros() -> None:
    q = k = v = np.ones((1, 1, 4), np.float32)
    assert attention(q, k, v, mask=np.zeros((1, 1), bool)).tolist() == [[[0, 0, 0, 0]]]


def test_a_bias_that_grows_with_the_key_is_alibi() -> None:
    q, k, v = np.random.default_rng(1).standard_normal((3, 5, 4, 8)).astype(np.float32)
    slopes = alibi_slopes(4)
    np.testing.assert_allclose(
        attention(q, k, v, bias=alibi_bias(slopes, 5)),
        attention(q, k, v, slopes=slopes),
        atol=1e-5,
    )


def test_rounding_to_bfloat16_goes_to_the_nearest_and_halves_to_even() -> None:
    exact = np.array([1.0, -2.5, 0.0, 256.0], np.float32)
    np.testing.assert_array_equal(bfloat16(exact), exact)
    step = 2.0**-7
    values = 1 + step * np.array([0.4, 0.5, 0.6, 1.5], np.float32)
    np.testing.assert_array_equal(bfloat16(values), 1 + step * np.array([0, 0, 1, 2]))


def test_rounded_alibi_rounds_slopes_and_products() -> None:
    bias = alibi_bias(np.array([0.7], np.float32), 4, rounded=True)
    slope = float(bfloat16(np.array([0.7], np.float32))[0])
    assert bias.tolist() == [[float(bfloat16(np.array([slope * k]))[0]) for k in range(4)]]
    assert slope != pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("cap", [1.5, 30.0])
def test_capped_scores_by_definition(cap: float) -> None:
    """One query and two keys: the softmax of two capped scores, as a logistic function."""
    q, k = np.array([[[2.0, 1.0]]]), np.array([[[3.0, -1.0]], [[-0.5, 2.0]]])
    v = np.array([[[1.0, 0.0, 5.0]], [[0.0, 1.0, 7.0]]])
    scores = [cap * np.tanh(0.5 * float(q[0, 0] @ key[0]) / cap) for key in k]
    share = 1 / (1 + exp(scores[1] - scores[0]))
    mixed = attention(q, k, v, scale=0.5, cap=cap)
    np.testing.assert_allclose(mixed[0, 0], share * v[0, 0] + (1 - share) * v[1, 0], rtol=1e-5)


def test_a_cap_bounds_and_keeps_small_values() -> None:
    x = np.array([-1e6, -0.01, 0.0, 0.01, 1e6], np.float32)
    np.testing.assert_allclose(soft_cap(x, 5.0), [-5, -0.01, 0, 0.01, 5], rtol=1e-5)
