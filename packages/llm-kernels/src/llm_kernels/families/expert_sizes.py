"""Sizes of a mixture of experts, read from a `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_kernels.errors import ConfigError
from llm_kernels.families.fields import ALIASES, number, plain_list, plain_number, whole
from llm_kernels.families.spec import FamilySpec


def expert_sizes(
    spec: FamilySpec, config: Mapping[str, Any], mlp: int, layers: int
) -> dict[str, Any]:
    """The sizes of a mixture of experts whose plain layers are `mlp` wide, as fields of `Sizes`.

    Raises ConfigError for numbers that do not fit each other.
    """
    assert spec.moe is not None
    renormalize = spec.moe.renormalize
    if renormalize is None:
        renormalize = bool(config.get("norm_topk_prob", False))
    experts = whole(spec, config, "experts")
    chosen = whole(spec, config, "experts_per_token")
    if not 1 <= chosen <= experts:
        message = (
            f"num_experts_per_tok ({chosen}) must be between 1 and the number of experts "
            f"({experts}). Correct config.json."
        )
        raise ConfigError(message)
    expert_mlp = whole(spec, config, "expert_mlp", mlp)
    groups = whole(spec, config, "groups", 1) if spec.moe.groups != "none" else 1
    open_groups = whole(spec, config, "groups_per_token", 1) if groups > 1 else 1
    if experts % groups or not 1 <= open_groups <= groups:
        message = (
            f"{experts} experts in n_group={groups} groups of which topk_group={open_groups} are "
            "open do not fit. Correct config.json: groups of equal size, and at most all open."
        )
        raise ConfigError(message)
    return {
        "experts": experts,
        "experts_per_token": chosen,
        "expert_mlp": expert_mlp,
        "shared_mlp": _shared_mlp(spec, config, expert_mlp) if spec.moe.shared_expert else 0,
        "renormalize": renormalize,
        "groups": groups,
        "groups_per_token": open_groups,
        "routed_scale": number(spec, config, "routed_scale", 1.0) if spec.moe.scaled else 1.0,
        "dense_layers": _dense_layers(config, layers),
    }


def _shared_mlp(spec: FamilySpec, config: Mapping[str, Any], expert_mlp: int) -> int:
    """Stated, or as a number of experts that are one together (DeepSeek)."""
    if any(config.get(field) is not None for field in ALIASES["shared_experts"]):
        return whole(spec, config, "shared_experts") * expert_mlp
    return whole(spec, config, "shared_mlp")


def _dense_layers(config: Mapping[str, Any], layers: int) -> frozenset[int]:
    """Layers of a mixture of experts that keep a plain MLP."""
    step = int(plain_number(config, "decoder_sparse_step", 1)) or 1
    period = int(plain_number(config, "moe_layer_freq", 1)) or 1
    first = int(plain_number(config, "first_k_dense_replace", 0))
    plain = set(plain_list(config, "mlp_only_layers", int))
    return frozenset(
        i for i in range(layers) if i in plain or (i + 1) % step or i < first or i % period
    )
