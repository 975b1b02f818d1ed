"""A family's spec and sizes as the flat configuration that the native decoder is built from."""

from __future__ import annotations

from typing import Any

from llm_kernels.errors import UnsupportedSpecError
from llm_kernels.families import Alibi, DynamicScaling, FamilySpec, Learned, Rope, Sizes
from llm_kernels.ops.activation import CODES
from llm_kernels.reference import alibi_slopes, attention_factor, inverse_frequencies

_POSITIONS = (Rope, Alibi, Learned)


def native_config(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    """Every field of the C++ decoder's configuration but those of its cache and batch.

    Raises UnsupportedSpecError that lists everything the spec needs and the decoder lacks.
    """
    lacking = unsupported(spec)
    if lacking:
        message = (
            f"The native decoder lacks what {spec.name} needs: {'; '.join(lacking)}. "
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
        "vocab": sizes.vocab,
        "layer_norm": spec.norm.kind == "layer",
        "post_norm": spec.norm.placement == "post",
        "residual_normed": spec.norm.residual == "normed",
        "residual_scale": float(spec.norm.residual_scale),
        "eps": sizes.eps,
        "activation": CODES[spec.mlp.activation],
        "experts_per_token": sizes.experts_per_token,
        "renormalize": sizes.renormalize,
        "windows": [sizes.layer_window(layer) or 0 for layer in range(sizes.layers)],
        **_position(spec, sizes),
    }


def unsupported(spec: FamilySpec) -> list[str]:
    """What the spec needs and the native decoder lacks, a phrase each; empty where nothing."""
    lacking = []
    if type(spec.position) not in _POSITIONS:
        lacking.append(f"positions of the kind {type(spec.position).__name__}")
    if spec.mlp.activation not in CODES:
        lacking.append(f"the activation {spec.mlp.activation}")
    if spec.norm.kind not in ("rms", "layer"):
        lacking.append(f"norms of the kind {spec.norm.kind}")
    if spec.norm.placement not in ("pre", "post"):
        lacking.append(f"norms placed {spec.norm.placement}")
    if spec.mask not in ("causal", "prefix"):
        lacking.append(f"a {spec.mask} mask")
    return lacking


def _position(spec: FamilySpec, sizes: Sizes) -> dict[str, Any]:
    position = spec.position
    rope = position if isinstance(position, Rope) else None
    return {
        "rope_interleaved": rope is not None and rope.pairing == "interleaved",
        "rope_channels": rope.channels if rope else 1,
        "rope_magnitude": attention_factor(sizes) if rope else 1.0,
        "inverse_frequency": inverse_frequencies(rope, sizes).tolist() if rope else [],
        "most_context": _most_context(spec, sizes),
        "alibi_slopes": (alibi_slopes(sizes.heads).tolist() if isinstance(position, Alibi) else []),
        "position_offset": position.offset if isinstance(position, Learned) else 0,
    }


def _most_context(spec: FamilySpec, sizes: Sizes) -> int:
    """Tokens up to which frequencies and queries do not depend on the length; 0: always."""
    if isinstance(sizes.rope_scaling, DynamicScaling):
        return sizes.rope_scaling.original
    dynamic = isinstance(spec.position, Rope) and spec.position.dynamic_ntk
    return sizes.max_positions if dynamic or spec.attention.logn else 0
