"""Attention over grouped heads, contiguous or in blocks, with every mask and bias in use."""

from __future__ import annotations

from math import floor, log2, sqrt

import numpy as np

from llm_kernels.reference.activations import softmax


def alibi_slopes(heads: int) -> np.ndarray:
    """Slope of each head (arXiv:2108.12409), float32 [H].

    A geometric series for a power of two; other counts take every second slope of the next one.
    """
    power = 2 ** floor(log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (i + 1) / power) for i in range(0, 2 * (heads - power), 2)]
    return np.array(slopes, dtype=np.float32)


def bfloat16(x: np.ndarray) -> np.ndarray:
    """x rounded to bfloat16, halves to even, as float32: any shape."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def alibi_bias(slopes: np.ndarray, keys: int, *, rounded: bool = False) -> np.ndarray:
    """What ALiBi adds to the scores of the first `keys` keys: slopes [H] -> float32 [H, keys].

    It grows with the key's position; the usual distance to the query differs from it by a constant
    per query, which a softmax does not see. `rounded`: slopes and products in bfloat16 (Falcon).
    """
    positions = np.arange(keys, dtype=np.float32)
    if rounded:
        return bfloat16(bfloat16(slopes)[:, None] * positions)
    return slopes.astype(np.float32)[:, None] * positions


def soft_cap(x: np.ndarray, cap: float) -> np.ndarray:
    """cap * tanh(x / cap), which is close to x far below the cap (Gemma 2, arXiv:2408.00118).

    x of any shape, float32.
    """
    return (cap * np.tanh(x.astype(np.float64) / cap)).astype(np.float32)


def visible(queries: int, keys: int, *, window: int | None = None, prefix: int = 0) -> np.ndarray:
    """Which keys the last `queries` of `keys` tokens see: bool [queries, keys].

    Causal, but for the first `prefix` keys, which all see; `window` keys back at most.
    """
    row = np.arange(keys - queries, keys)[:, None]
    column = np.arange(keys)[None]
    seen = (column <= row) | (column < prefix)
    return seen if window is None else seen & (row - column < window)


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    slopes: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    scale: float | None = None,
    cap: float = 0.0,
) -> np.ndarray:
    """Softmax attention (Vaswani et al. 2017, arXiv:1706.03762).

    q [T, H, D], k [S, G, D] and v [S, G, Dv] with H a multiple of G; the queries are the last T of
    the S tokens. `mask` bool [T, S], causal when None. `slopes` [H] adds ALiBi, `bias` [H, S] a
    bias of every key. `scale` defaults to 1 / sqrt(D). `cap` bounds the scaled scores (0: not).
    Returns float32 [T, H, Dv]; a query that sees nothing gets zeros.
    """
    tokens, heads, dim = q.shape
    keys, groups, _ = k.shape
    scale = 1 / sqrt(dim) if scale is None else scale
    seen = visible(tokens, keys) if mask is None else mask
    grouped = q.astype(np.float32).reshape(tokens, groups, heads // groups, dim)
    # [T, G, H/G, D] x [S, G, D] -> [G, H/G, T, S], as one product for each KV head.
    left = grouped.transpose(1, 2, 0, 3).reshape(groups, -1, dim)
    scores = left @ k.astype(np.float32).transpose(1, 2, 0) * np.float32(scale)
    scores = scores.reshape(groups, heads // groups, tokens, keys)
    if cap:
        scores = soft_cap(scores, cap)
    if bias is not None:
        scores = scores + bias.reshape(groups, -1, 1, keys)
    if slopes is not None:
        distance = np.arange(keys)[None] - np.arange(keys - tokens, keys)[:, None]
        scores = scores + slopes.reshape(groups, -1, 1, 1) * distance.astype(np.float32)
    weights = softmax(np.where(seen, scores, np.float32(-np.inf)))
    mixed = weights.reshape(groups, -1, keys) @ v.astype(np.float32).transpose(1, 0, 2)
    mixed = mixed.reshape(groups, heads // groups, tokens, v.shape[-1])
    return mixed.transpose(2, 0, 1, 3).reshape(tokens, heads, v.shape[-1])


def gather_blocks(blocks: np.ndarray, table: np.ndarray, length: int) -> np.ndarray:
    """The first `length` rows of one sequence: blocks [N, block, G, D], table [n] -> [S, G, D]."""
    return blocks[table].reshape(-1, *blocks.shape[2:])[:length]


def paged_attention(
    q: np.ndarray,
    key_blocks: np.ndarray,
    value_blocks: np.ndarray,
    block_table: np.ndarray,
    context_length: int,
    *,
    window: int | None = None,
    prefix: int = 0,
    slopes: np.ndarray | None = None,
    scale: float | None = None,
    cap: float = 0.0,
) -> np.ndarray:
    """Attention of one sequence over keys and values in blocks (arXiv:2309.06180).

    q [T, H, D] are the last T of `context_length` tokens; key_blocks and value_blocks
    [N, block, G, D]; block_table int [n] names the sequence's blocks in order, entries beyond the
    context are not read. Returns float32 [T, H, D].
    """
    used = block_table[: -(-context_length // key_blocks.shape[1])]
    keys = gather_blocks(key_blocks, used, context_length)
    values = gather_blocks(value_blocks, used, context_length)
    mask = visible(len(q), context_length, window=window, prefix=prefix)
    return attention(q, keys, values, mask=mask, slopes=slopes, scale=scale, cap=cap)
