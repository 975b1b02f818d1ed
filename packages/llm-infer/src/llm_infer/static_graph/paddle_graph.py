"""The Paddle decoder as one graph with fixed inputs and outputs; importing this imports paddle.

    inputs    input_ids int64 [1, T], past_length int64 [1], past_keys [L, S, G, D],
              past_values [L, S, G, Dv]; where positions are looked at position_ids int64 [1, C, T];
              with a prefix mask prefix int64 [1]
    outputs   logits [T, V], keys [L, T, G, D], values [L, T, G, Dv] of the tokens that were read

Of S >= 1 places the first `past_length` count. T and S are free; C is 2 for models with block
positions, else 1. Everything that the dynamic graph decides in Python by length (tables of
rotations, masks) is computed from the inputs here; for what stretches with the length, the graph
holds what is right up to `most_positions`.
"""

from __future__ import annotations

import math
import types

import numpy as np
import paddle
from paddle import nn

from llm_kernels.families import Alibi, FamilySpec, Learned, LongScaling, Rope, Sizes
from llm_kernels.families.scaling import DynamicScaling
from llm_kernels.paddle.block import Block
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.masks import HIDDEN
from llm_kernels.paddle.mlp import Expert, gate, route
from llm_kernels.paddle.positions import RotaryTables
from llm_kernels.reference import (
    alibi_slopes,
    attention_factor,
    bfloat16,
    inverse_frequencies,
    rotated_dim,
)


def position_channels(spec: FamilySpec) -> int:
    """C: positions of every token that the model looks at; 0: none."""
    match spec.position:
        case Rope(channels=channels):
            return channels
        case Learned(block=block):
            return 1 + block
    return 0


def most_positions(spec: FamilySpec, sizes: Sizes) -> int:
    """Tokens up to which the graph is right; 0: any number that the model takes."""
    if isinstance(sizes.rope_scaling, DynamicScaling | LongScaling):
        return sizes.rope_scaling.original
    dynamic = isinstance(spec.position, Rope) and spec.position.dynamic_ntk
    return sizes.max_positions if dynamic else 0


class GraphDecoder(nn.Layer):
    """A decoder's forward pass over explicit keys and values; see the module's docstring."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        spec, sizes = decoder.spec, decoder.sizes
        for block in decoder.blocks:
            if block.sparse:
                block._experts = types.MethodType(_all_experts, block)
        rope = spec.position if isinstance(spec.position, Rope) else None
        self.rotates = rope is not None
        if rope is not None:
            frequencies = _frequencies(rope, sizes)
            # Elements that are not rotated keep their size too.
            rope_scale = np.where(frequencies.any(axis=0), attention_factor(sizes), 1.0)
            self.register_buffer("frequencies", paddle.to_tensor(frequencies))
            self.register_buffer("rope_scale", paddle.to_tensor(rope_scale.astype(np.float32)))
            self.register_buffer("swap", RotaryTables(rope, sizes).swap)
        self.alibi = spec.position if isinstance(spec.position, Alibi) else None
        if self.alibi is not None:
            slopes = alibi_slopes(sizes.heads)
            slopes = bfloat16(slopes) if self.alibi.rounded else slopes
            self.register_buffer("slopes", paddle.to_tensor(np.asarray(slopes, np.float32)))
        self.logn = spec.attention.logn
        self.has_prefix = spec.mask == "prefix"

    def forward(
        self,
        input_ids: paddle.Tensor,
        past_length: paddle.Tensor,
        past_keys: paddle.Tensor,
        past_values: paddle.Tensor,
        position_ids: paddle.Tensor | None = None,
        prefix: paddle.Tensor | None = None,
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Logits, keys and values of the tokens read; shapes as in the module's docstring."""
        cache = _Cache(past_keys, past_values)
        state = _State(self, input_ids, position_ids, past_length, past_keys, cache, prefix)
        hidden = self.decoder._embed(input_ids, position_ids)
        for block in self.decoder.blocks:
            hidden = block(hidden, state)
        logits = self.decoder.finish(hidden)
        keys, values = paddle.concat(cache.new_keys), paddle.concat(cache.new_values)
        return logits.squeeze(0), keys, values


class _Cache:
    """Keys and values of before, and the new ones beside them."""

    def __init__(self, keys: paddle.Tensor, values: paddle.Tensor) -> None:
        self._past = (keys, values)
        self.new_keys: list[paddle.Tensor] = []
        self.new_values: list[paddle.Tensor] = []

    def extend(
        self, layer: int, keys: paddle.Tensor, values: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Everything of a layer, [1, S + T, G, D]."""
        self.new_keys.append(keys)
        self.new_values.append(values)
        past_keys, past_values = (part[layer : layer + 1] for part in self._past)
        return paddle.concat([past_keys, keys], 1), paddle.concat([past_values, values], 1)


class _State:
    """What a block asks of `llm_kernels.paddle.passing.Pass`, from tensors alone."""

    def __init__(
        self,
        graph: GraphDecoder,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None,
        past_length: paddle.Tensor,
        past_keys: paddle.Tensor,
        cache: _Cache,
        prefix: paddle.Tensor | None,
    ) -> None:
        self.cache = cache
        self._graph = graph
        self._sizes = graph.decoder.sizes
        tokens, places = paddle.shape(input_ids)[1], paddle.shape(past_keys)[1]
        self.batch, self.tokens = 1, tokens
        new = past_length + paddle.arange(0, tokens, dtype="int64")
        held = paddle.arange(0, places, dtype="int64")
        # Places behind the past hold nothing, and count as behind every query.
        beyond = paddle.full_like(held, 2**40)
        self._keys = paddle.concat([paddle.where(held < past_length, held, beyond), new])
        self._queries = new.unsqueeze(-1)
        self._prefix = prefix
        self._biases: dict[int | None, paddle.Tensor] = {}
        self.query_scale = None
        self.flash = None
        if position_ids is not None and graph.logn:
            count = (position_ids[:, 0] + 1).astype("float32")
            scale = paddle.log(count) / math.log(self._sizes.max_positions)
            self.query_scale = paddle.clip(scale, min=1.0).unsqueeze([-1, -2])
        if position_ids is not None and graph.rotates:
            angles = paddle.matmul(
                position_ids.transpose([0, 2, 1]).astype("float32"), graph.frequencies
            ).unsqueeze(2)
            self._cos = paddle.cos(angles) * graph.rope_scale
            self._sin = paddle.sin(angles) * graph.rope_scale

    def turn(self, heads: paddle.Tensor) -> paddle.Tensor:
        """Rotate q or k [1, T, heads, D]."""
        if not self._graph.rotates:
            return heads
        return heads * self._cos + paddle.matmul(heads, self._graph.swap) * self._sin

    def bias(self, layer: int) -> paddle.Tensor:
        """What is added to the scores of a layer, [T, S + T] or [1, G, R, T, S + T]."""
        window = self._sizes.layer_window(layer)
        if window not in self._biases:
            self._biases[window] = self._made(window)
        return self._biases[window]

    def _made(self, window: int | None) -> paddle.Tensor:
        keys = self._keys.unsqueeze(0)
        shown = keys <= self._queries
        if self._prefix is not None:
            shown = paddle.logical_or(shown, keys < self._prefix)
        if window is not None:
            shown = paddle.logical_and(shown, self._queries - keys < window)
        hidden = (1.0 - shown.astype("float32")) * HIDDEN
        alibi = self._graph.alibi
        if alibi is None:
            return hidden
        groups = self._sizes.kv_heads
        # What is hidden has no distance either: 2**40 times a slope would outweigh its -1e9.
        seen = paddle.where(keys < 2**40, keys, paddle.zeros_like(keys)).astype("float32")
        slopes = self._graph.slopes.reshape([1, groups, -1, 1, 1])
        bias = slopes * seen
        if alibi.rounded:
            bias = bias.astype("bfloat16").astype("float32")
        return hidden + (bias * self._sizes.scale if alibi.scaled else bias)


def _frequencies(rope: Rope, sizes: Sizes) -> np.ndarray:
    """float32 [C, D]: what a position of each channel rotates each element of a head by."""
    width = rotated_dim(rope, sizes)
    frequencies = inverse_frequencies(rope, sizes)
    half = rope.pairing == "half"
    one = np.tile(frequencies, 2) if half else np.repeat(frequencies, 2)
    frequencies = np.zeros((rope.channels, sizes.head_dim), np.float32)
    for channel in range(rope.channels):
        frequencies[channel, channel * width : (channel + 1) * width] = one
    return frequencies


def _all_experts(block: Block, hidden: paddle.Tensor) -> paddle.Tensor:
    """A mixture in which every expert computes every row, and the chosen ones are weighted.

    Which rows an expert gets is known only when the graph runs; this asks nothing of them.
    """
    moe = block.spec.moe
    assert moe is not None
    rows = hidden.reshape([-1, block.sizes.hidden])
    correction = block.router_correction.weight if moe.corrected else None
    chosen, weights = route(block.router(rows), moe, block.sizes, correction)
    shares = (
        paddle.nn.functional.one_hot(chosen, block.sizes.experts) * weights.unsqueeze(-1)
    ).sum(axis=1)
    mixed = paddle.zeros_like(rows)
    for index in range(block.sizes.experts):
        expert: Expert = block.experts[index]
        mixed = mixed + expert(rows) * shares[:, index : index + 1]
    if moe.shared_expert:
        kind = block.spec.mlp.activation
        shared = block.shared_down(gate(kind, block.shared_gate(rows), block.shared_up(rows)))
        if moe.shared_gate:
            shared = paddle.nn.functional.sigmoid(block.shared_router(rows)) * shared
        mixed = mixed + shared
    return mixed.reshape(paddle.shape(hidden))
