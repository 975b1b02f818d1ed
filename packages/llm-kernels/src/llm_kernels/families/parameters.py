"""Which canonical parameters a model has, and their shapes.

Canonical form is unfused, linear weights [N, K] = [out, in], rotary rows in the order that the
family's pairing rotates. Every other layout is llm-convert's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast

from llm_kernels.families.sizes import Latent, Sizes
from llm_kernels.families.slots import SLOTS
from llm_kernels.families.spec import FamilySpec, Learned

Leaf: TypeAlias = Literal["weight", "bias"]
Shape: TypeAlias = tuple[int, ...]


class ParameterKey(NamedTuple):
    """One parameter of a model: what it is for, where it is, and weight or bias."""

    slot: str
    layer: int | None = None
    expert: int | None = None
    leaf: Leaf = "weight"

    @property
    def name(self) -> str:
        """Canonical name: `embed.weight`, `layers.3.experts.2.expert_up.weight`."""
        where = "" if self.layer is None else f"layers.{self.layer}."
        which = "" if self.expert is None else f"experts.{self.expert}."
        return f"{where}{which}{self.slot}.{self.leaf}"

    @classmethod
    def parse(cls, name: str) -> ParameterKey:
        """The key of a canonical name; KeyError for any other string."""
        parts = name.split(".")
        layer = expert = None
        if parts[0] == "layers" and len(parts) > 3 and parts[1].isdecimal():
            layer, parts = int(parts[1]), parts[2:]
            if parts[0] == "experts" and len(parts) == 4 and parts[1].isdecimal():
                expert, parts = int(parts[1]), parts[2:]
        key = cls(parts[0], layer, expert, cast(Leaf, parts[-1]))
        scope = SLOTS[key.slot].scope if len(parts) == 2 and key.slot in SLOTS else None
        found = "expert" if expert is not None else "layer" if layer is not None else "model"
        if scope != found or key.leaf not in ("weight", "bias") or key.name != name:
            raise KeyError(name)
        return key


def parameters(spec: FamilySpec, sizes: Sizes) -> dict[ParameterKey, Shape]:
    """Every canonical parameter of the model with its shape, in forward order."""
    return {
        ParameterKey(slot, layer, expert, leaf): shape
        for slot, layer, expert, leaf, shape in _all(spec, sizes)
    }


_Entry: TypeAlias = tuple[str, int | None, int | None, Leaf, Shape]


def _all(spec: FamilySpec, sizes: Sizes) -> Iterator[_Entry]:
    yield "embed", None, None, "weight", (sizes.vocab, sizes.embed_dim)
    if isinstance(spec.position, Learned):
        table = (sizes.max_positions + spec.position.offset + spec.position.block, sizes.hidden)
        yield "positions", None, None, "weight", table
        if spec.position.block:
            yield "block_positions", None, None, "weight", table
    if sizes.projected:
        yield "project_in", None, None, "weight", (sizes.hidden, sizes.embed_dim)
    if spec.norm.embedding:
        yield from _norm(spec, "embed_norm", sizes.hidden)
    for layer in range(sizes.layers):
        yield from _norm(spec, "attn_norm", sizes.hidden, layer)
        yield from _attention(spec, sizes, layer)
        yield from _own_norms(spec, sizes, layer)
        if spec.moe is None or layer in sizes.dense_layers:
            yield from _mlp(spec, sizes, layer)
        else:
            yield from _experts(spec, sizes, layer)
        if spec.norm.placement == "sandwich":
            yield from _norm(spec, "mlp_out_norm", sizes.hidden, layer)
    if spec.norm.final:
        yield from _norm(spec, "final_norm", sizes.hidden)
    if sizes.projected:
        yield "project_out", None, None, "weight", (sizes.embed_dim, sizes.hidden)
    if not sizes.tied:
        yield "head", None, None, "weight", (sizes.vocab, sizes.embed_dim)


def _norm(spec: FamilySpec, slot: str, width: int, layer: int | None = None) -> Iterator[_Entry]:
    yield slot, layer, None, "weight", (width,)
    if spec.norm.kind == "layer":
        yield slot, layer, None, "bias", (width,)


def _own_norms(spec: FamilySpec, sizes: Sizes, layer: int) -> Iterator[_Entry]:
    """The norms between the attention and the MLP."""
    if spec.norm.placement == "sandwich":
        yield from _norm(spec, "attn_out_norm", sizes.hidden, layer)
    if not spec.norm.shared:
        yield from _norm(spec, "mlp_norm", sizes.hidden, layer)


def _linear(
    slot: str, out: int, inputs: int, bias: bool, layer: int, expert: int | None = None
) -> Iterator[_Entry]:
    yield slot, layer, expert, "weight", (out, inputs)
    if bias:
        yield slot, layer, expert, "bias", (out,)


def _attention(spec: FamilySpec, sizes: Sizes, layer: int) -> Iterator[_Entry]:
    if sizes.latent is not None:
        yield from _latent(spec, sizes, sizes.latent, layer)
    else:
        yield from _plain(spec, sizes, layer)
    width = sizes.heads * sizes.value_dim
    yield from _linear("out", sizes.hidden, width, spec.attention.out_bias, layer)


def _plain(spec: FamilySpec, sizes: Sizes, layer: int) -> Iterator[_Entry]:
    bias = spec.attention.qkv_bias
    for slot, heads in (("q", sizes.heads), ("k", sizes.kv_heads), ("v", sizes.kv_heads)):
        yield from _linear(slot, heads * sizes.head_dim, sizes.hidden, bias, layer)
    if spec.attention.qk_norm:
        yield "q_norm", layer, None, "weight", (sizes.head_dim,)
        yield "k_norm", layer, None, "weight", (sizes.head_dim,)


def _latent(spec: FamilySpec, sizes: Sizes, latent: Latent, layer: int) -> Iterator[_Entry]:
    bias, queries = spec.attention.qkv_bias, sizes.heads * sizes.head_dim
    if spec.attention.latent == "qkv":
        yield from _linear("q_down", latent.q_rank, sizes.hidden, bias, layer)
        yield "q_down_norm", layer, None, "weight", (latent.q_rank,)
        yield from _linear("q_up", queries, latent.q_rank, False, layer)
    else:
        yield from _linear("q", queries, sizes.hidden, False, layer)
    yield from _linear("kv_down", latent.kv_rank + latent.rope_dim, sizes.hidden, bias, layer)
    yield "kv_down_norm", layer, None, "weight", (latent.kv_rank,)
    width = sizes.head_dim - latent.rope_dim + sizes.value_dim
    yield from _linear("kv_up", sizes.heads * width, latent.kv_rank, False, layer)


def _mlp(spec: FamilySpec, sizes: Sizes, layer: int) -> Iterator[_Entry]:
    for slot in ("gate", "up") if spec.mlp.gated else ("up",):
        yield from _linear(slot, sizes.mlp, sizes.hidden, spec.mlp.bias, layer)
    yield from _linear("down", sizes.hidden, sizes.mlp, spec.mlp.bias, layer)


def _experts(spec: FamilySpec, sizes: Sizes, layer: int) -> Iterator[_Entry]:
    assert spec.moe is not None
    yield from _linear("router", sizes.experts, sizes.hidden, False, layer)
    if spec.moe.corrected:
        yield "router_correction", layer, None, "weight", (sizes.experts,)
    for expert in range(sizes.experts):
        yield from _linear("expert_gate", sizes.expert_mlp, sizes.hidden, False, layer, expert)
        yield from _linear("expert_up", sizes.expert_mlp, sizes.hidden, False, layer, expert)
        yield from _linear("expert_down", sizes.hidden, sizes.expert_mlp, False, layer, expert)
    if spec.moe.shared_expert:
        if spec.moe.shared_gate:
            yield from _linear("shared_router", 1, sizes.hidden, False, layer)
        yield from _linear("shared_gate", sizes.shared_mlp, sizes.hidden, False, layer)
        yield from _linear("shared_up", sizes.shared_mlp, sizes.hidden, False, layer)
        yield from _linear("shared_down", sizes.hidden, sizes.shared_mlp, False, layer)
