"""What all blocks of one forward pass share: rotation, masks, query scale and cache.

Made once per pass by `Decoder.begin`; a block reads it and, with a cache, extends the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import paddle

from llm_kernels.families import Sizes
from llm_kernels.paddle.attention import group_bias
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.flash import hidden_from
from llm_kernels.paddle.masks import additive, visible


@dataclass
class Pass:
    """One forward pass over [B, T] tokens, the last T of `seen` = S.

    `cos`, `sin` are [B or 1, T, 1, D] and `swap` [D, D] for rotary families, else None;
    `query_scale` [B or 1, T, 1, 1] or None; `padding` bool [B, S] or [B, 1, T, S] or None;
    `prefix` int64 [B] or None; `alibi` float32 [1 or B, H, 1, S] or None. `heads`, `groups` are
    this rank's. `flash`: the dtype of `attend_flash`, where attention is by it, with `ends` int
    [B, T] or None.
    """

    sizes: Sizes
    batch: int
    tokens: int
    seen: int
    heads: int
    groups: int
    cos: paddle.Tensor | None = None
    sin: paddle.Tensor | None = None
    swap: paddle.Tensor | None = None
    query_scale: paddle.Tensor | None = None
    padding: paddle.Tensor | None = None
    prefix: paddle.Tensor | None = None
    alibi: paddle.Tensor | None = None
    cache: KeyValueCache | None = None
    flash: str | None = None
    ends: paddle.Tensor | None = None
    _hidden: dict[int | None, paddle.Tensor | None] = field(default_factory=dict)
    _biases: dict[int | None, paddle.Tensor | None] = field(default_factory=dict)
    _wide: dict[int, tuple[paddle.Tensor, paddle.Tensor]] = field(default_factory=dict)

    def turn(self, heads: paddle.Tensor) -> paddle.Tensor:
        """Rotate q or k, [B, T, heads, D], by position; unchanged in families without rotation."""
        if self.cos is None or self.sin is None:
            return heads
        count = heads.shape[2]
        if count not in self._wide:
            shape = [self.batch, self.tokens, count, heads.shape[3]]
            self._wide[count] = (self.cos.expand(shape), self.sin.expand(shape))
        cos, sin = self._wide[count]
        return heads * cos + paddle.matmul(heads, self.swap) * sin

    def hidden_from(self, layer: int) -> paddle.Tensor | None:
        """What `attend_flash` hides in `layer`; made once per window width."""
        window = self.sizes.layer_window(layer)
        if window not in self._hidden:
            self._hidden[window] = hidden_from(self.ends, self.batch, self.tokens, window)
        return self._hidden[window]

    def bias(self, layer: int) -> paddle.Tensor | None:
        """What `attend` adds to the scores of `layer`; made once per window width."""
        window = self.sizes.layer_window(layer)
        if window not in self._biases:
            shown = visible(self.tokens, self.seen, window, self.prefix)
            bias = additive(shown, self.padding, self.alibi)
            self._biases[window] = group_bias(bias, self.batch, self.heads, self.groups)
        return self._biases[window]


def logn_scale(positions: paddle.Tensor, trained: int) -> paddle.Tensor:
    """Qwen-1: log(position + 1) to the base `trained`, at least 1; [B, T] -> [B, T, 1, 1]."""
    length = positions.astype("float32") + 1.0
    return paddle.clip(paddle.log(length) / math.log(trained), min=1.0).unsqueeze([-1, -2])
