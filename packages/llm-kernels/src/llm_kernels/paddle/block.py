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
from llm_kernels.paddle.layers import Layers
from llm_kernels.paddle.mlp import Expert, activate, gate, mix_experts
from llm_kernels.paddle.norms import LayerNorm, RmsNorm
from llm_kernels.paddle.passing import Pass


def make_norm(spec: FamilySpec, width: int, eps: float) -> nn.Layer:
    """The family's norm over `width` channels."""
    return (RmsNorm if spec.norm.kind == "rms" else LayerNorm)(width, eps)


class Block(nn.Layer):
    """Block number `index` of a model; [B, T, E] -> [B, T, E]."""

    def __init__(self, spec: FamilySpec, sizes: Sizes, index: int, layers: Layers) -> None:
        super().__init__()
        self.spec, self.sizes, self.index = spec, sizes, index
        self.heads, self.groups = sizes.heads // layers.degree, sizes.kv_heads // layers.degree
        self.enable_recompute = False
        self.attn_norm = make_norm(spec, sizes.hidden, sizes.eps)
        self._add_attention(layers)
        self.mlp_norm = make_norm(spec, sizes.hidden, sizes.eps)
        self.sparse = spec.moe is not None and index not in sizes.dense_layers
        (self._add_experts if self.sparse else self._add_mlp)(layers)

    def forward(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        """[B, T, E] -> [B, T, E]; `state.cache` is extended. Recomputes in backward if asked to."""
        if self.enable_recompute and self.training and not hidden.stop_gradient:
            return recompute(self._run, hidden, state)
        return self._run(hidden, state)

    def _run(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        hidden = self._residual(hidden, self.attn_norm, lambda x: self._attention(x, state))
        return self._residual(hidden, self.mlp_norm, self._experts if self.sparse else self._mlp)

    def _residual(
        self,
        hidden: paddle.Tensor,
        norm: nn.Layer,
        inner: Callable[[paddle.Tensor], paddle.Tensor],
    ) -> paddle.Tensor:
        rule = self.spec.norm
        if rule.placement == "post":
            return norm(hidden + inner(hidden))
        normed = norm(hidden)
        skip = normed if rule.residual == "normed" else hidden
        if rule.residual_scale != 1.0:
            skip = skip * rule.residual_scale
        return skip + inner(normed)

    def _add_attention(self, layers: Layers) -> None:
        sizes, rule = self.sizes, self.spec.attention
        queries, groups = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
        self.q = layers.column(sizes.hidden, queries, rule.qkv_bias)
        self.k = layers.column(sizes.hidden, groups, rule.qkv_bias)
        self.v = layers.column(sizes.hidden, groups, rule.qkv_bias)
        if rule.qk_norm:
            self.q_norm = RmsNorm(sizes.head_dim, sizes.eps)
            self.k_norm = RmsNorm(sizes.head_dim, sizes.eps)
        self.out = layers.row(queries, sizes.hidden, rule.out_bias)

    def _attention(self, hidden: paddle.Tensor, state: Pass) -> paddle.Tensor:
        batch, tokens, _ = hidden.shape
        width = self.sizes.head_dim
        queries = self.q(hidden).reshape([batch, tokens, self.heads, width])
        keys = self.k(hidden).reshape([batch, tokens, self.groups, width])
        values = self.v(hidden).reshape([batch, tokens, self.groups, width])
        if self.spec.attention.qk_norm:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        queries, keys = state.turn(queries), state.turn(keys)
        if state.query_scale is not None:
            queries = queries * state.query_scale
        if state.cache is not None:
            keys, values = state.cache.extend(self.index, keys, values)
        return self.out(attend(queries, keys, values, state.bias(self.index)))

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
        self.router = layers.replicated(sizes.hidden, sizes.experts, False)
        self.experts = nn.LayerList([Expert(spec, sizes, layers) for _ in range(sizes.experts)])
        if spec.moe is not None and spec.moe.shared_expert:
            self.shared_router = layers.replicated(sizes.hidden, 1, False)
            self.shared_gate = layers.column(sizes.hidden, sizes.shared_mlp, False)
            self.shared_up = layers.column(sizes.hidden, sizes.shared_mlp, False)
            self.shared_down = layers.row(sizes.shared_mlp, sizes.hidden, False)

    def _experts(self, hidden: paddle.Tensor) -> paddle.Tensor:
        rows = hidden.reshape([-1, self.sizes.hidden])
        mixed = mix_experts(rows, self.router, self.experts, self.sizes)
        if self.spec.moe is not None and self.spec.moe.shared_expert:
            kind = self.spec.mlp.activation
            shared = self.shared_down(gate(kind, self.shared_gate(rows), self.shared_up(rows)))
            mixed = mixed + F.sigmoid(self.shared_router(rows)) * shared
        return mixed.reshape(hidden.shape)
