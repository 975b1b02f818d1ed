"""A family's spec and sizes as the flat configuration that the native decoder is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import sqrt
from typing import Any

from llm_kernels.errors import UnsupportedSpecError
from llm_kernels.families import (
    Alibi,
    Attention,
    DynamicScaling,
    FamilySpec,
    Head,
    Learned,
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    Mlp,
    Moe,
    Norm,
    NtkScaling,
    Position,
    Rope,
    Sizes,
    YarnScaling,
)
from llm_kernels.ops.activation import CODES
from llm_kernels.reference import alibi_slopes, attention_factor, bfloat16, inverse_frequencies

# The fields that the decoder computes with, or that are settled before it is built.
_COMPUTED: Mapping[type, frozenset[str]] = {
    FamilySpec: frozenset(
        [
            "name",
            "norm",
            "position",
            "attention",
            "mlp",
            "moe",
            "head",
            "mask",
            "length_fields",
            "default_length",
            "scaled_embedding",
        ]
    ),
    Norm: frozenset(
        [
            "kind",
            "placement",
            "residual",
            "residual_scale",
            "parallel",
            "shared",
            "embedding",
            "final",
            "unit_offset",
            "default_eps",
        ]
    ),
    Rope: frozenset(
        ["pairing", "fraction", "channels", "dynamic_ntk", "half_precision", "default_theta"]
    ),
    Alibi: frozenset({"scaled", "rounded"}),
    Learned: frozenset({"offset", "block"}),
    Attention: frozenset(
        [
            "qkv_bias",
            "out_bias",
            "qk_norm",
            "logn",
            "single_kv",
            "windowed",
            "scale",
            "capped",
            "latent",
        ]
    ),
    Mlp: frozenset(["activation", "gated", "bias", "width_factor", "default_width"]),
    Moe: frozenset(
        [
            "scores",
            "renormalize",
            "shared_expert",
            "shared_gate",
            "groups",
            "corrected",
            "scaled",
        ]
    ),
    Head: frozenset({"tied", "tied_default", "normalized", "capped"}),
    Sizes: frozenset(
        [
            "hidden",
            "layers",
            "heads",
            "kv_heads",
            "head_dim",
            "mlp",
            "vocab",
            "eps",
            "theta",
            "tied",
            "max_positions",
            "embed_dim",
            "window",
            "full_layers",
            "rope_scaling",
            "score_scale",
            "score_cap",
            "logit_cap",
            "rotary",
            "latent",
            "groups",
            "groups_per_token",
            "routed_scale",
            "experts",
            "experts_per_token",
            "expert_mlp",
            "shared_mlp",
            "renormalize",
            "dense_layers",
        ]
    ),
}
# Doublings of the trained length, at each of which Qwen-1's frequencies change.
_NTK_STEPS = 12
_SCALINGS = (
    type(None),
    LinearScaling,
    NtkScaling,
    DynamicScaling,
    Llama3Scaling,
    YarnScaling,
    LongScaling,
)
# Of those that choose among ways, the ways that the decoder has.
_VALUES: Mapping[str, tuple[str, ...]] = {
    "mask": ("causal", "prefix"),
    "norm.kind": ("rms", "layer"),
    "norm.placement": ("pre", "post", "sandwich"),
    "norm.residual": ("input", "normed"),
    "position.pairing": ("half", "interleaved"),
    "mlp.activation": tuple(CODES),
    "attention.latent": ("none", "kv", "qkv"),
    "moe.scores": ("softmax", "sigmoid"),
    "moe.groups": ("none", "best", "best_two"),
}


def native_config(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    """Every field of the C++ decoder's configuration but those of its cache and batch.

    Raises UnsupportedSpecError that lists everything the spec needs and the decoder lacks.
    """
    lacking = unsupported(spec, sizes)
    if lacking:
        message = (
            f"The native decoder lacks what the family {spec.name} needs: {'; '.join(lacking)}. "
            "Run it with --inference_model false, which uses the Paddle decoder."
        )
        raise UnsupportedSpecError(message)
    return {
        "hidden": sizes.hidden,
        "embed_dim": sizes.embed_dim,
        "layers": sizes.layers,
        "heads": sizes.heads,
        "kv_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "value_dim": sizes.value_dim,
        "vocab": sizes.vocab,
        "layer_norm": spec.norm.kind == "layer",
        "post_norm": spec.norm.placement == "post",
        "residual_normed": spec.norm.residual == "normed",
        "residual_scale": float(spec.norm.residual_scale),
        "eps": sizes.eps,
        "out_norms": spec.norm.placement == "sandwich",
        "parallel": spec.norm.parallel,
        "embedding_scale": sqrt(sizes.embed_dim) if spec.scaled_embedding else 1.0,
        "score_scale": sizes.scale,
        "score_cap": sizes.score_cap,
        "logit_cap": sizes.logit_cap,
        "activation": CODES[spec.mlp.activation],
        **_latent(sizes),
        **_experts(spec, sizes),
        "windows": [sizes.layer_window(layer) or 0 for layer in range(sizes.layers)],
        **_position(spec, sizes),
    }


def unsupported(spec: FamilySpec, sizes: Sizes) -> list[str]:
    """What the model needs and the native decoder lacks, a phrase each; empty where nothing.

    A field of the spec or of the sizes that is not listed here counts as lacking as soon as it has
    another value than its default, so that an axis added later is refused, never ignored.
    """
    parts: Mapping[str, Any] = {
        "": spec,
        "norm.": spec.norm,
        "position.": spec.position,
        "attention.": spec.attention,
        "mlp.": spec.mlp,
        "moe.": spec.moe,
        "head.": spec.head,
        "sizes.": sizes,
    }
    lacking = []
    for where, part in parts.items():
        if part is None:
            continue
        if type(part) not in _COMPUTED:
            lacking.append(f"positions of the kind {type(part).__name__}")
            continue
        for field in fields(part):
            value, name = getattr(part, field.name), where + field.name
            unknown = field.name not in _COMPUTED[type(part)] and value != field.default
            if unknown or value not in _VALUES.get(name, (value,)):
                lacking.append(f"{name} = {value!r}")
    if type(sizes.rope_scaling) not in _SCALINGS:
        lacking.append(f"rotary frequencies stretched by {type(sizes.rope_scaling).__name__}")
    return lacking


def _position(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    position = spec.position
    rope = position if isinstance(position, Rope) else None
    return {
        "rope_interleaved": rope is not None and rope.pairing == "interleaved",
        "rope_channels": rope.channels if rope else 1,
        "rope_magnitude": attention_factor(sizes) if rope else 1.0,
        "inverse_frequency": inverse_frequencies(rope, sizes).tolist() if rope else [],
        "rope_first": sizes.head_dim - sizes.latent.rope_dim if sizes.latent else 0,
        **_following_length(spec, sizes),
        **_alibi(position, sizes),
        "position_offset": position.offset if isinstance(position, Learned) else 0,
    }


def _alibi(position: Position, sizes: Sizes) -> dict[str, Any]:
    if not isinstance(position, Alibi):
        return {"alibi_slopes": [], "alibi_rounded_scale": 0.0}
    scale = sizes.scale if position.scaled else 1.0
    slopes = alibi_slopes(sizes.heads)
    if position.rounded:
        return {"alibi_slopes": bfloat16(slopes).tolist(), "alibi_rounded_scale": scale}
    return {"alibi_slopes": (slopes * scale).tolist(), "alibi_rounded_scale": 0.0}


def _latent(sizes: Sizes) -> dict[str, Any]:
    latent = sizes.latent
    return {
        "q_rank": latent.q_rank if latent else 0,
        "kv_rank": latent.kv_rank if latent else 0,
        "latent_eps": latent.eps if latent else 0.0,
    }


def _experts(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    moe = spec.moe
    return {
        "experts": sizes.experts,
        "experts_per_token": sizes.experts_per_token,
        "renormalize": sizes.renormalize,
        "sigmoid_scores": moe is not None and moe.scores == "sigmoid",
        "expert_groups": sizes.groups,
        "open_groups": sizes.groups_per_token,
        "group_best": 2 if moe is not None and moe.groups == "best_two" else 1,
        "routed_scale": sizes.routed_scale,
    }


def _following_length(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    """Frequencies and queries that follow the length of a sequence."""
    rope = spec.position if isinstance(spec.position, Rope) else None
    lengths: list[int] = []
    if rope and isinstance(sizes.rope_scaling, LongScaling):
        lengths = [sizes.rope_scaling.original]
    elif rope and rope.dynamic_ntk:
        lengths = [sizes.max_positions << step for step in range(_NTK_STEPS)]
    stages = [inverse_frequencies(rope, sizes, length + 1) for length in lengths] if rope else []
    growing = sizes.rope_scaling if isinstance(sizes.rope_scaling, DynamicScaling) else None
    return {
        "stage_lengths": lengths,
        "stage_frequencies": [float(number) for row in stages for number in row],
        "dynamic_length": growing.original if growing else 0,
        "dynamic_factor": growing.factor if growing else 1.0,
        "rope_theta": sizes.theta,
        "logn_length": sizes.max_positions if spec.attention.logn else 0,
    }
