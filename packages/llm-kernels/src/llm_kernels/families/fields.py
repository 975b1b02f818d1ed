"""Which fields of a `config.json` state a size, and how a number is read from them.

Nothing here knows a family. A field that is needed and absent is an error that names its aliases.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llm_kernels.errors import ConfigError
from llm_kernels.families.spec import FamilySpec

ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hidden": ("hidden_size", "n_embd", "n_embed"),
        "layers": ("num_hidden_layers", "n_layer", "num_layers"),
        "heads": ("num_attention_heads", "n_head"),
        "kv_heads": (
            "num_key_value_heads",
            "multi_query_group_num",
            "num_kv_heads",
            "n_head_kv",
        ),
        "head_dim": ("head_dim", "kv_channels"),
        "mlp": ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "inner_hidden_size"),
        "vocab": ("padded_vocab_size", "vocab_size"),
        "eps": ("rms_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "layer_norm_eps"),
        "theta": ("rope_theta", "rotary_emb_base"),
        "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
        "experts_per_token": ("num_experts_per_tok",),
        "expert_mlp": ("moe_intermediate_size",),
        "shared_mlp": ("shared_expert_intermediate_size",),
        "shared_experts": ("n_shared_experts",),
        "groups": ("n_group",),
        "groups_per_token": ("topk_group",),
        "routed_scale": ("routed_scaling_factor",),
        "embed_dim": ("word_embed_proj_dim",),
        "query_scalar": ("query_pre_attn_scalar",),
        "score_cap": ("attn_logit_softcapping",),
        "logit_cap": ("final_logit_softcapping",),
        "q_rank": ("q_lora_rank",),
        "kv_rank": ("kv_lora_rank",),
        "nope_dim": ("qk_nope_head_dim",),
        "rope_dim": ("qk_rope_head_dim",),
        "value_dim": ("v_head_dim",),
    }
)
LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "seq_length",
    "model_max_length",
)


def stated(size: str, config: Mapping[str, Any]) -> str | None:
    """The first of the size's fields that `config` states."""
    return next((field for field in ALIASES[size] if config.get(field) is not None), None)


def number(
    spec: FamilySpec, config: Mapping[str, Any], size: str, default: float | None = None
) -> float:
    """The first of the size's fields that is stated, else `default`; ConfigError without both."""
    for field in ALIASES[size]:
        value = config.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            message = (
                f"{field} in config.json is {value!r}; a number is needed for {size} of the "
                f"family {spec.name}. Copy the value from the model's original config.json."
            )
            raise ConfigError(message)
        return value
    if default is None:
        message = (
            f"config.json has none of {', '.join(ALIASES[size])}, needed for {size} of the family "
            f"{spec.name}. Copy the field from the model's original config.json."
        )
        raise ConfigError(message)
    return default


def whole(
    spec: FamilySpec, config: Mapping[str, Any], size: str, default: int | None = None
) -> int:
    """The same for a size that must be a whole number."""
    value = number(spec, config, size, default)
    if value != int(value):
        message = f"{ALIASES[size][0]} in config.json is {value}; a whole number is needed."
        raise ConfigError(message)
    return int(value)
