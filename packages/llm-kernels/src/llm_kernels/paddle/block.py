"""One decoder block: attention and MLP around the residual, as the family's spec arranges them.

Its layers carry the slot names, so that `layers.3.q.weight` is the parameter's name. What is the
same for all blocks of one pass (rotation, masks, cache) comes in as a `Pass`.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.distributed.fleet.utils import recompute

from llm_kernels.families import FamilySpec, Sizes
from llm_kernels.paddle.attention import attend
from llm_kernels.paddle.autocast import exact
from llm_kernels.paddle.flash import attend_flash
from llm_kernels.paddle.layers import Layers
from llm_kernels.paddle.mlp import Correction, Expert, activate, gate, mix_experts, route
from llm_kernels.paddle.norms import LayerNorm, RmsNorm
from llm_kernels.paddle.passing import Pass


def make_norm(spec: FamilySpec, width: int, eps: float) -> nn.Layer:
    """The family's norm over `width` channels."""
    return rms_norm(spec, width, eps) if spec.norm.kind == "rms" else LayerNorm(width, eps)


def rms_norm(spec: FamilySpec, width: int, eps: float) -> RmsNorm:
    """An RMS norm over `width` channels, as the family keeps its weights."""
    return RmsNorm(width, eps, 1.0 if spec.norm.unit_offset else 0.0)


class Block(nn.Layer):
    """Block number `index` of a model; [B, T, E] -> [B, T, E]."""

    def __init__(self, spec: FamilySpec, sizes: Sizes, index: int, layers: Layers) -> None:
        super().__init__()
        self.spec, self.sizes, self.index = spec, sizes, index
        self.parallel = layers
        self.heads, self.groups = layers.heads(sizes), layers.groups(sizes)
        self.enable_recompute = False
        self.attn_norm = make_norm(spec, sizes.hidden, sizes.eps)
        (self._add_attention if sizes.latent is None else self._add_latent)(layers)
        self.out = layers.row(sizes.heads * sizes.value_dim, sizes.hidden, spec.attention.out_bias)
        self._add_norms()
        self.sparse = spec.moe is not None and index not in sizes.dense_layers
        (self._add_experts if self.sparse else self._add_mlp)(layers)

    def forward(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        """[B, T, E] -> [B, T, E]; `state.cache` is extended. Recomputes in backward if asked to."""
        if self.enable_recompute and self.training and not hidden.stop_gradient:
            left = recompute(self._run, hidden, state)
        else:
            left = self._run(hidden, state)
        # Some norms answer in float32 whatever comes in, within an autocast.
        return left if left.dtype == hidden.dtype else left.astype(hidden.dtype)

    def _run(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        feed_forward = self._experts if self.sparse else self._mlp
        if self.spec.norm.parallel:
            normed = self.attn_norm(hidden)
            other = normed if self.spec.norm.shared else self.mlp_norm(hidden)
            return hidden + self._attention(normed, state) + feed_forward(other)
        hidden = self._residual("attn", hidden, lambda x: self._attention(x, state))
        return self._residual("mlp", hidden, feed_forward)

    def _residual(
        self,
        name: str,
        hidden: paddle.Tensor,
        inner: Callable[[paddle.Tensor], paddle.Tensor],
    ) -> paddle.Tensor:
        rule, norm = self.spec.norm, getattr(self, f"{name}_norm")
        if rule.placement == "post":
            return norm(hidden + inner(hidden))
        normed = norm(hidden)
        skip = normed if rule.residual == "normed" else hidden
        if rule.residual_scale != 1.0:
            skip = skip * rule.residual_scale
        added = inner(normed)
        if rule.placement == "sandwich":
            added = getattr(self, f"{name}_out_norm")(added)
        return skip + added

    def _add_norms(self) -> None:
        spec, sizes = self.spec, self.sizes
        if spec.norm.placement == "sandwich":
            self.attn_out_norm = make_norm(spec, sizes.hidden, sizes.eps)
            self.mlp_out_norm = make_norm(spec, sizes.hidden, sizes.eps)
        if not spec.norm.shared:
            self.mlp_norm = make_norm(spec, sizes.hidden, sizes.eps)

    def _add_attention(self, layers: Layers) -> None:
        sizes, rule = self.sizes, self.spec.attention
        queries, groups = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
        self.q = layers.column(sizes.hidden, queries, rule.qkv_bias)
        key_value = layers.key_value(sizes)
        self.k = key_value(sizes.hidden, groups, rule.qkv_bias)
        self.v = key_value(sizes.hidden, groups, rule.qkv_bias)
        if rule.qk_norm:
            self.q_norm = rms_norm(self.spec, sizes.head_dim, sizes.eps)
            self.k_norm = rms_norm(self.spec, sizes.head_dim, sizes.eps)

    def _add_latent(self, layers: Layers) -> None:
        sizes, rule, latent = self.sizes, self.spec.attention, self.sizes.latent
        assert latent is not None
        queries, bias = sizes.heads * sizes.head_dim, rule.qkv_bias
        if rule.latent == "qkv":
            self.q_down = layers.replicated(sizes.hidden, latent.q_rank, bias)
            self.q_down_norm = rms_norm(self.spec, latent.q_rank, latent.eps)
            self.q_up = layers.column(latent.q_rank, queries, False)
        else:
            self.q = layers.column(sizes.hidden, queries, False)
        self.kv_down = layers.replicated(sizes.hidden, latent.kv_rank + latent.rope_dim, bias)
        self.kv_down_norm = rms_norm(self.spec, latent.kv_rank, latent.eps)
        width = sizes.head_dim - latent.rope_dim + latent.value_dim
        self.kv_up = layers.column(latent.kv_rank, sizes.heads * width, False)

    def _attention(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        make = self._heads if self.sizes.latent is None else self._latent_heads
        queries, keys, values = make(hidden, state)
        queries, keys = state.turn(queries), state.turn(keys)
        if state.query_scale is not None:
            queries = queries * state.query_scale
        if state.cache is not None:
            keys, values = state.cache.extend(self.index, keys, values)
        sizes = self.sizes
        if state.flash is not None:
            hidden = state.hidden_from(self.index)
            return self.out(attend_flash(queries, keys, values, hidden, sizes.scale, state.flash))
        bias = state.bias(self.index)
        return self.out(attend(queries, keys, values, bias, sizes.scale, sizes.score_cap))

    def _heads(self, hidden: paddle.Tensor, state: Pass) -> tuple[paddle.Tensor, ...]:
        """q [B, T, H, D], k and v [B, T, G, D], before their rotation."""
        batch, tokens = state.batch, state.tokens
        width = self.sizes.head_dim
        queries = self.q(hidden).reshape([batch, tokens, self.heads, width])
        keys = self.k(hidden).reshape([batch, tokens, self.groups, width])
        values = self.v(hidden).reshape([batch, tokens, self.groups, width])
        if self.spec.attention.qk_norm:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        return queries, keys, values

    def _latent_heads(self, hidden: paddle.Tensor, state: Pass) -> tuple[paddle.Tensor, ...]:
        """q, k [B, T, H, D] and v [B, T, H, Dv], the elements that rotate moved first."""
        sizes, latent = self.sizes, self.sizes.latent
        assert latent is not None
        batch, tokens = state.batch, state.tokens
        narrow = self.spec.attention.latent == "qkv"
        queries = self.q_up(self.q_down_norm(self.q_down(hidden))) if narrow else self.q(hidden)
        queries = queries.reshape([batch, tokens, self.heads, sizes.head_dim])
        still = sizes.head_dim - latent.rope_dim
        queries = paddle.concat([queries[..., still:], queries[..., :still]], axis=-1)
        down = self.kv_down(hidden)
        wide = self.kv_up(self.kv_down_norm(down[..., : latent.kv_rank]))
        wide = wide.reshape([batch, tokens, self.heads, -1])
        turned = self.parallel.part(down[..., latent.kv_rank :])
        turned = turned.reshape([batch, tokens, 1, latent.rope_dim])
        turned = turned.expand([batch, tokens, self.heads, latent.rope_dim])
        keys = paddle.concat([turned, wide[..., :still]], axis=-1)
        return queries, keys, wide[..., still:]

    def _add_mlp(self, layers: Layers) -> None:
        sizes, rule = self.sizes, self.spec.mlp
        if rule.gated:
            self.gate = layers.column(sizes.hidden, sizes.mlp, rule.bias)
        self.up = layers.column(sizes.hidden, sizes.mlp, rule.bias)
        self.down = layers.row(sizes.mlp, sizes.hidden, rule.bias)

    def _mlp(self, hidden: paddle.Tensor) -> paddle.Tensor:
        kind = self.spec.mlp.activation
        if self.spec.mlp.gated:
            return self.down(gate(kind, self.gate(hidden), self.up(hidden)))
        return self.down(activate(kind, self.up(hidden)))

    def _add_experts(self, layers: Layers) -> None:
        spec, sizes = self.spec, self.sizes
        layers = layers.inner or layers
        self.router = layers.replicated(sizes.hidden, sizes.experts, False)
        self.experts = nn.LayerList([Expert(spec, sizes, layers) for _ in range(sizes.experts)])
        assert spec.moe is not None
        if spec.moe.corrected:
            self.router_correction = Correction(sizes.experts)
        if spec.moe.shared_expert:
            if spec.moe.shared_gate:
                self.shared_router = layers.replicated(sizes.hidden, 1, False)
            self.shared_gate = layers.column(sizes.hidden, sizes.shared_mlp, False)
            self.shared_up = layers.column(sizes.hidden, sizes.shared_mlp, False)
            self.shared_down = layers.row(sizes.shared_mlp, sizes.hidden, False)

    def _experts(self, hidden: paddle.Tensor) -> paddle.Tensor:
        moe = self.spec.moe
        assert moe is not None
        rows = self.parallel.gather_rows(hidden.reshape([-1, self.sizes.hidden]))
        correction = self.router_correction.weight if moe.corrected else None
        with exact():
            # What is rounded here chooses other experts.
            logits = self.router(rows.astype(self.attn_norm.weight.dtype))
        chosen, weights = route(logits, moe, self.sizes, correction)
        mixed = mix_experts(rows, chosen, weights, self.experts)
        if moe.shared_expert:
            kind = self.spec.mlp.activation
            shared = self.shared_down(gate(kind, self.shared_gate(rows), self.shared_up(rows)))
            if moe.shared_gate:
                shared = F.sigmoid(self.shared_router(rows)) * shared
            mixed = mixed + shared
        return self.parallel.scatter_rows(mixed).reshape(hidden.shape)
