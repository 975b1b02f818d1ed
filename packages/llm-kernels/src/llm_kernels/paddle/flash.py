"""Causal attention by Paddle's FlashMask kernel, which holds no scores (arXiv:2410.01359).

It runs on GPUs, on 16-bit numbers. A key is seen from its own row on, until a row that is given:
the end of its sample in a packed row, or of its window.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F

from llm_kernels.families import Alibi, FamilySpec, Sizes

_WIDEST, _MULTIPLE = 256, 8
"""Elements of a head that the kernel takes."""


def can_flash(spec: FamilySpec, sizes: Sizes) -> bool:
    """Whether the kernel computes this model's attention: causal, plain scores, one head width."""
    return (
        spec.mask == "causal"
        and not isinstance(spec.position, Alibi)
        and not sizes.score_cap
        and sizes.value_dim == sizes.head_dim <= _WIDEST
        and sizes.head_dim % _MULTIPLE == 0
    )


def hidden_from(
    ends: paddle.Tensor | None, batch: int, tokens: int, window: int | None
) -> paddle.Tensor | None:
    """The first row that does not see each key any more, int32 [B, 1, T, 1]; None: all see it.

    `ends` [B, T]: where the sample of a token ends in its row; None: with the row. `window`: how
    many keys back a query sees, its own included.
    """
    if window is not None and window < tokens:
        left = (paddle.arange(tokens) + window).clip(max=tokens).unsqueeze(0)
        own = left.expand([batch, tokens])
        ends = own if ends is None else paddle.minimum(ends.astype("int64"), own)
    return None if ends is None else ends.astype("int32").unsqueeze([1, 3])


def attend_flash(
    queries: paddle.Tensor,
    keys: paddle.Tensor,
    values: paddle.Tensor,
    hidden: paddle.Tensor | None,
    scale: float,
    dtype: str,
) -> paddle.Tensor:
    """softmax(Q K^T * scale) V over what `hidden` (see `hidden_from`) leaves, [B, T, H * D].

    Queries [B, T, H, D], keys and values [B, T, G, D], of any type: they are rounded to `dtype`,
    "bfloat16" or "float16", as Paddle's autocast does not do for this kernel.
    """
    batch, tokens, heads, width = queries.shape
    # The kernel's own scale is 1 / sqrt(D).
    own = scale * math.sqrt(width)
    queries = queries if math.isclose(own, 1.0) else queries * own
    mixed = F.flashmask_attention(
        queries.astype(dtype),
        keys.astype(dtype),
        values.astype(dtype),
        startend_row_indices=hidden,
        causal=True,
    )
    return mixed.reshape([batch, tokens, heads * width])
