"""Attention of a few queries over the keys seen so far; multi-, grouped- and single-query alike.

The query heads that share a KV head are stacked into one product, so K and V are never repeated.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F


def attend(
    queries: paddle.Tensor,
    keys: paddle.Tensor,
    values: paddle.Tensor,
    bias: paddle.Tensor | None,
    scale: float | None = None,
    cap: float = 0.0,
) -> paddle.Tensor:
    """softmax(Q K^T * scale + bias) V.

    Queries [B, T, H, D], keys [B, S, G, D], values [B, S, G, Dv]. `bias` is [T, S] or
    [B, G, R, T, S] (see `group_bias`). `scale` defaults to 1 / sqrt(D); `cap` bounds the scaled
    scores by cap * tanh(x / cap) (0: not). Returns [B, T, H * Dv].
    """
    batch, tokens, heads, width = queries.shape
    seen, groups = keys.shape[1], keys.shape[2]
    share = heads // groups
    scale = 1.0 / math.sqrt(width) if scale is None else scale
    stacked = (queries * scale).reshape([batch, tokens, groups, share, width])
    stacked = stacked.transpose([0, 2, 3, 1, 4]).reshape([batch, groups, share * tokens, width])
    scores = paddle.matmul(stacked, keys.transpose([0, 2, 3, 1]))
    if cap:
        scores = soft_cap(scores, cap)
    if bias is not None:
        scores = scores.reshape([batch, groups, share, tokens, seen]) + bias
        scores = scores.reshape([batch, groups, share * tokens, seen])
    mixed = paddle.matmul(F.softmax(scores, axis=-1), values.transpose([0, 2, 1, 3]))
    width = values.shape[3]
    mixed = mixed.reshape([batch, groups, share, tokens, width]).transpose([0, 3, 1, 2, 4])
    return mixed.reshape([batch, tokens, heads * width])


def soft_cap(values: paddle.Tensor, cap: float) -> paddle.Tensor:
    """cap * tanh(x / cap), elementwise (Gemma 2, arXiv:2408.00118)."""
    return paddle.tanh(values * (1.0 / cap)) * cap


def group_bias(
    bias: paddle.Tensor | None, batch: int, heads: int, groups: int
) -> paddle.Tensor | None:
    """A bias in the shape that `attend` adds: [T, S] as it is, else expanded to [B, G, R, T, S].

    Expanding once per forward pass costs one score tensor; Paddle's broadcast over middle axes
    would cost several times the addition in every layer.
    """
    if bias is None or bias.ndim == 2:
        return bias
    tokens, seen = bias.shape[-2:]
    whole = bias.expand([batch, heads, tokens, seen])
    return whole.reshape([batch, groups, heads // groups, tokens, seen])
