"""What is added to the attention scores: which keys a query sees, and ALiBi.

One additive bias is made per forward pass and shared by all layers with the same window. It is
None where nothing has to be hidden.
"""

from __future__ import annotations

import paddle

from llm_kernels.families import Alibi

HIDDEN = -1.0e9
"""Added to the score of a key that is not seen; finite, so that a padded query gives no NaN."""


def visible(
    tokens: int, seen: int, window: int | None, prefix: paddle.Tensor | None
) -> paddle.Tensor | None:
    """Which keys each query sees by position: bool [T, S], or [B, 1, T, S] with `prefix`.

    `seen` is S; the queries are the last `tokens` of them. `window`: how many keys back, its own
    included. `prefix` int64 [B]: the first tokens of a sequence that see each other both ways.
    None when every query sees every key.
    """
    if tokens == 1 and prefix is None and (window is None or seen <= window):
        return None
    query = paddle.arange(seen - tokens, seen).unsqueeze(-1)
    key = paddle.arange(seen).unsqueeze(0)
    shown = key <= query
    if prefix is not None:
        shown = shown | (key < prefix.reshape([-1, 1, 1, 1]))
    if window is not None and window < seen:
        shown = shown & (query - key < window)
    return shown


def alibi_bias(
    rule: Alibi, slopes: paddle.Tensor, seen: int, scale: float, padding: paddle.Tensor | None
) -> paddle.Tensor:
    """ALiBi over S = `seen` keys for `slopes` float32 [H], float32 [1 or B, H, 1, S].

    It grows with the key's index: that differs from the distance to the query by a constant per
    row, which the softmax does not see. `scale` is the scores', `padding` as for `additive`. Where
    products are rounded they must be those of a key's position among the real ones.
    """
    positions = paddle.arange(seen).reshape([1, 1, 1, seen])
    if rule.rounded and padding is not None and padding.ndim == 2:
        counted = paddle.cumsum(padding.astype("int64"), axis=-1) - 1
        positions = paddle.clip(counted, min=0).unsqueeze([1, 2])
    if rule.rounded:
        slopes = _rounded(slopes)
    bias = slopes.reshape([1, -1, 1, 1]) * positions.astype("float32")
    if rule.rounded:
        bias = _rounded(bias)
    return bias * scale if rule.scaled else bias


def _rounded(values: paddle.Tensor) -> paddle.Tensor:
    return values.astype("bfloat16").astype("float32")


def additive(
    shown: paddle.Tensor | None,
    padding: paddle.Tensor | None,
    alibi: paddle.Tensor | None,
) -> paddle.Tensor | None:
    """The bias of the scores, float32, one of [T, S], [B, 1, T, S], [1 or B, H, T, S]; or None.

    `padding`: bool, True where a key is real, [B, S], or a whole mask [B, 1, T, S].
    `alibi`: what `alibi_bias` returns.
    """
    if padding is not None:
        real = padding.unsqueeze([1, 2]) if padding.ndim == 2 else padding
        shown = real if shown is None else shown & real
    bias = alibi
    if shown is not None:
        hidden = paddle.where(shown, paddle.zeros([1]), paddle.full([1], HIDDEN))
        bias = hidden if bias is None else hidden + bias
    return bias
