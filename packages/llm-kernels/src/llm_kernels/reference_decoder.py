"""The whole decoder in NumPy, driven by the family's spec alone: one sequence, float32.

    logits = forward(spec, sizes, parameters, token_ids)             # [T, V]
    cache = KvCache()
    logits = forward(spec, sizes, parameters, prompt, cache=cache)   # then token by token
    logits = forward(spec, sizes, parameters, [token], cache=cache)

It is the oracle of the native and the Paddle decoders. It knows neither batches nor padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TypeAlias

import numpy as np

from llm_kernels import reference as ops
from llm_kernels.cache_layout import CacheScales
from llm_kernels.errors import ShapeError
from llm_kernels.families import (
    Alibi,
    FamilySpec,
    Learned,
    Moe,
    ParameterKey,
    Rope,
    Sizes,
    parameters,
)

Source: TypeAlias = Mapping[ParameterKey, ops.Weight] | Callable[[ParameterKey], ops.Weight]


@dataclass
class KvCache:
    """Keys and values of one sequence, [S, G, D] for each layer, and what its prompt fixed.

    `prompt_length` is the number of tokens of the first call, `prefix` its bidirectional part.
    `dtype` is what keys and values are kept in; they are held as the float32 that it gives back.
    `scales` of a static int8 cache; None: every token and head has its own.
    """

    keys: dict[int, np.ndarray] = field(default_factory=dict)
    values: dict[int, np.ndarray] = field(default_factory=dict)
    length: int = 0
    prompt_length: int = 0
    prefix: int = 0
    dtype: ops.CacheDtype = "float32"
    scales: CacheScales | None = None

    def extend(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Append k and v [T, G, D] of one layer; returns all of its keys and values [S, G, D]."""
        scales = self.scales
        k = ops.kept(k, self.dtype, None if scales is None else scales.keys[layer])
        v = ops.kept(v, self.dtype, None if scales is None else scales.values[layer])
        if layer in self.keys:
            k = np.concatenate([self.keys[layer], k])
            v = np.concatenate([self.values[layer], v])
        self.keys[layer], self.values[layer] = k, v
        return k, v


def forward(
    spec: FamilySpec,
    sizes: Sizes,
    source: Source,
    token_ids: Sequence[int] | np.ndarray,
    *,
    positions: np.ndarray | None = None,
    prefix: int = 0,
    cache: KvCache | None = None,
) -> np.ndarray:
    """Logits [T, V] of `token_ids` [T], float32.

    `source`: canonical parameter by key, a mapping or a function. `positions`: int [T], or [2, T]
    with block positions for families that have them (`families.prefix_positions` makes those);
    by default they continue the cache. `prefix`: how many first tokens see each other in both
    directions, given with the prompt; only for families with a prefix mask. With a cache the tokens
    follow those that it holds, and it grows.

    Raises ShapeError for positions, a prefix or tokens that do not fit the model.
    """
    cache = KvCache() if cache is None else cache
    tokens = np.asarray(token_ids)
    step = _step(spec, sizes, source, tokens, positions, prefix, cache)
    hidden = _embed(step, tokens)
    for layer in range(sizes.layers):
        hidden = _block(step, hidden, layer)
    cache.length = step.length
    return _logits(step, hidden)


@dataclass(frozen=True)
class _Step:
    """What every part of one forward pass needs."""

    spec: FamilySpec
    sizes: Sizes
    get: Callable[[ParameterKey], ops.Weight]
    biased: frozenset[ParameterKey]
    positions: np.ndarray
    length: int
    cache: KvCache

    def linear(
        self, slot: str, x: np.ndarray, layer: int | None = None, expert: int | None = None
    ) -> np.ndarray:
        key = ParameterKey(slot, layer, expert, "bias")
        bias = ops.dense(self.get(key)) if key in self.biased else None
        return ops.linear(x, self.get(key._replace(leaf="weight")), bias)

    def norm(
        self, slot: str, x: np.ndarray, layer: int | None = None, eps: float | None = None
    ) -> np.ndarray:
        weight = ops.dense(self.get(ParameterKey(slot, layer)))
        key = ParameterKey(slot, layer, None, "bias")
        if key in self.biased:
            return ops.layer_norm(x, weight, ops.dense(self.get(key)), self.sizes.eps)
        if self.spec.norm.unit_offset:
            weight = 1 + weight
        return ops.rms_norm(x, weight, self.sizes.eps if eps is None else eps)

    def table(self, slot: str, rows: np.ndarray) -> np.ndarray:
        weight = self.get(ParameterKey(slot))
        values = weight if isinstance(weight, np.ndarray) else weight.dequantize()
        return ops.dense(values[rows])


def _step(
    spec: FamilySpec,
    sizes: Sizes,
    source: Source,
    tokens: np.ndarray,
    positions: np.ndarray | None,
    prefix: int,
    cache: KvCache,
) -> _Step:
    length = cache.length + len(tokens)
    ops.check_stretch(sizes, cache.length, length)
    if prefix:
        if spec.mask != "prefix" or cache.length or prefix > len(tokens):
            message = (
                f"A prefix of {prefix} tokens was given with {len(tokens)} tokens after "
                f"{cache.length} cached ones; the mask of {spec.name} is {spec.mask}. "
                "Give it with the prompt, and only to families with a prefix mask."
            )
            raise ShapeError(message)
        cache.prefix = prefix
    cache.prompt_length = cache.prompt_length or len(tokens)
    if positions is None:
        positions = np.arange(cache.length, length)
    rows = np.atleast_2d(positions)
    channels = _position_channels(spec)
    if rows.shape[1] != len(tokens) or len(rows) < channels:
        message = (
            f"positions are {list(rows.shape)}, expected [{channels}, {len(tokens)}] for "
            f"{spec.name}. Pass one row of positions for each channel."
        )
        raise ShapeError(message)
    if tokens.size == 0 or tokens.min() < 0 or tokens.max() >= sizes.vocab:
        message = (
            f"token ids must be between 0 and {sizes.vocab - 1}, and at least one is needed; got "
            f"{len(tokens)} of them. Check that the tokenizer belongs to the model."
        )
        raise ShapeError(message)
    get = source.__getitem__ if isinstance(source, Mapping) else source
    biased = frozenset(key for key in parameters(spec, sizes) if key.leaf == "bias")
    return _Step(spec, sizes, get, biased, rows, length, cache)


def _position_channels(spec: FamilySpec) -> int:
    match spec.position:
        case Rope(channels=channels):
            return channels
        case Learned(block=True):
            return 2
    return 1


def _embed(step: _Step, tokens: np.ndarray) -> np.ndarray:
    hidden = step.table("embed", tokens)
    if step.spec.scaled_embedding:
        hidden = hidden * np.float32(sqrt(step.sizes.embed_dim))
    if step.sizes.projected:
        hidden = step.linear("project_in", hidden)
    if isinstance(step.spec.position, Learned):
        hidden = hidden + step.table("positions", step.positions[0] + step.spec.position.offset)
        if step.spec.position.block:
            hidden = hidden + step.table("block_positions", step.positions[1])
    return step.norm("embed_norm", hidden) if step.spec.norm.embedding else hidden


def _block(step: _Step, hidden: np.ndarray, layer: int) -> np.ndarray:
    norm = step.spec.norm
    if norm.parallel:
        normed = step.norm("attn_norm", hidden, layer)
        other = normed if norm.shared else step.norm("mlp_norm", hidden, layer)
        return hidden + _attend(step, normed, layer) + _feed_forward(step, other, layer)
    for name, function in (("attn", _attend), ("mlp", _feed_forward)):
        if norm.placement == "post":
            hidden = step.norm(f"{name}_norm", hidden + function(step, hidden, layer), layer)
            continue
        normed = step.norm(f"{name}_norm", hidden, layer)
        skip = normed if norm.residual == "normed" else hidden
        added = function(step, normed, layer)
        if norm.placement == "sandwich":
            added = step.norm(f"{name}_out_norm", added, layer)
        hidden = np.float32(norm.residual_scale) * skip + added
    return hidden


def _attend(step: _Step, x: np.ndarray, layer: int) -> np.ndarray:
    spec, sizes, cache = step.spec, step.sizes, step.cache
    q, k, v = (_plain_heads if sizes.latent is None else _latent_heads)(step, x, layer)
    if isinstance(spec.position, Rope):
        # Qwen-1 keeps the frequencies that the prompt's length chose.
        length = cache.prompt_length if spec.position.dynamic_ntk else step.length
        q = ops.apply_rope(q, spec.position, sizes, step.positions, length)
        k = ops.apply_rope(k, spec.position, sizes, step.positions, length)
    if spec.attention.logn:
        q = q * ops.logn_scale(step.positions[0], sizes.max_positions)[:, None, None]
    k, v = cache.extend(layer, k, v)
    mixed = ops.attention(
        q,
        k,
        v,
        mask=ops.visible(len(x), len(k), window=sizes.layer_window(layer), prefix=cache.prefix),
        bias=_bias(step, len(k)),
        scale=sizes.scale,
        cap=sizes.score_cap,
    )
    return step.linear("out", mixed.reshape(len(x), -1), layer)


def _bias(step: _Step, keys: int) -> np.ndarray | None:
    position, sizes = step.spec.position, step.sizes
    if not isinstance(position, Alibi):
        return None
    bias = ops.alibi_bias(ops.alibi_slopes(sizes.heads), keys, rounded=position.rounded)
    return bias * np.float32(sizes.scale) if position.scaled else bias


def _plain_heads(step: _Step, x: np.ndarray, layer: int) -> tuple[np.ndarray, ...]:
    """q [T, H, D], k and v [T, G, D], before their rotation."""
    q, k, v = (
        step.linear(slot, x, layer).reshape(len(x), -1, step.sizes.head_dim)
        for slot in ("q", "k", "v")
    )
    if step.spec.attention.qk_norm:
        q, k = step.norm("q_norm", q, layer), step.norm("k_norm", k, layer)
    return q, k, v


def _latent_heads(step: _Step, x: np.ndarray, layer: int) -> tuple[np.ndarray, ...]:
    """q, k [T, H, D] and v [T, H, Dv] of latent attention, the rotated elements moved first.

    All heads of k share the rotated part, which does not pass through the narrow vector.
    """
    sizes, latent = step.sizes, step.sizes.latent
    assert latent is not None
    rows = len(x)
    if step.spec.attention.latent == "qkv":
        narrow = step.norm("q_down_norm", step.linear("q_down", x, layer), layer, latent.eps)
        q = step.linear("q_up", narrow, layer)
    else:
        q = step.linear("q", x, layer)
    q = np.roll(q.reshape(rows, sizes.heads, sizes.head_dim), latent.rope_dim, axis=-1)
    down = step.linear("kv_down", x, layer)
    narrow = step.norm("kv_down_norm", down[:, : latent.kv_rank], layer, latent.eps)
    wide = step.linear("kv_up", narrow, layer).reshape(rows, sizes.heads, -1)
    turned = np.broadcast_to(down[:, None, latent.kv_rank :], (rows, sizes.heads, latent.rope_dim))
    still = sizes.head_dim - latent.rope_dim
    return q, np.concatenate([turned, wide[..., :still]], axis=-1), wide[..., still:]


def _feed_forward(step: _Step, x: np.ndarray, layer: int) -> np.ndarray:
    if step.spec.moe is None or layer in step.sizes.dense_layers:
        return _mlp(step, x, "", layer)
    experts, weights = _route(step, step.spec.moe, x, layer)
    mixed = ops.mix_experts(
        x, experts, weights, lambda expert, rows: _mlp(step, rows, "expert_", layer, expert)
    )
    if step.spec.moe.shared_expert:
        shared = _mlp(step, x, "shared_", layer)
        if step.spec.moe.shared_gate:
            shared = ops.sigmoid(step.linear("shared_router", x, layer)) * shared
        mixed = mixed + shared
    return mixed


def _route(step: _Step, moe: Moe, x: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = step.sizes
    correction = None
    if moe.corrected:
        correction = ops.dense(step.get(ParameterKey("router_correction", layer)))
    return ops.route(
        step.linear("router", x, layer),
        sizes.experts_per_token,
        renormalize=sizes.renormalize,
        scores=moe.scores,
        correction=correction,
        groups=sizes.groups,
        open_groups=sizes.groups_per_token,
        best=2 if moe.groups == "best_two" else 1,
        scale=sizes.routed_scale,
    )


def _mlp(
    step: _Step, x: np.ndarray, which: str, layer: int, expert: int | None = None
) -> np.ndarray:
    activate = ops.ACTIVATIONS[step.spec.mlp.activation]
    up = step.linear(f"{which}up", x, layer, expert)
    if step.spec.mlp.gated:
        up = activate(step.linear(f"{which}gate", x, layer, expert)) * up
    else:
        up = activate(up)
    return step.linear(f"{which}down", up, layer, expert)


def _logits(step: _Step, hidden: np.ndarray) -> np.ndarray:
    if step.spec.norm.final:
        hidden = step.norm("final_norm", hidden)
    if step.sizes.projected:
        hidden = step.linear("project_out", hidden)
    head = step.get(ParameterKey("embed" if step.sizes.tied else "head"))
    if step.spec.head.normalized:
        head = ops.unit_rows(ops.dense(head))
    logits = ops.linear(hidden, head)
    return ops.soft_cap(logits, step.sizes.logit_cap) if step.sizes.logit_cap else logits
