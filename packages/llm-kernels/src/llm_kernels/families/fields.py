"""Which fields of a `config.json` state a size, and how a number is read from them.

Nothing here knows a family. A field that is needed and absent is an error that names its aliases.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

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

# No number of a configuration comes near it, and an integer of a file may have any length.
_LARGEST = 1 << 53


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
        if not is_number(value):
            message = (
                f"{field} in config.json is {str(value)[:100]!r}; a number is needed for {size} of "
                f"the family {spec.name}. Copy the value from the model's original config.json."
            )
            raise ConfigError(message)
        return float(value) if isinstance(value, float) else int(value)
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


def plain_number(config: Mapping[str, Any], field: str, default: float) -> float:
    """A field of one name that is a number, or `default` where it is absent. ConfigError."""
    value = config.get(field)
    if value is None:
        return default
    if not is_number(value):
        message = (
            f"{field} in config.json is {str(value)[:100]!r}; a number is needed. Copy the value "
            "from the model's original config.json."
        )
        raise ConfigError(message)
    return float(value)


def plain_list(config: Mapping[str, Any], field: str, kind: type) -> list[Any]:
    """A field that is a list of texts or of integers, empty where it is absent. ConfigError."""
    value = config.get(field)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(type(item) is kind for item in value):
        message = (
            f"{field} in config.json is {str(value)[:100]!r}; a list of {kind.__name__} values is "
            "needed. Copy the value from the model's original config.json."
        )
        raise ConfigError(message)
    return list(value)


def plain_object(config: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """A field that is an object, empty where it is absent. ConfigError."""
    value = config.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = (
            f"{field} in config.json is {str(value)[:100]!r}; an object is needed. Copy the value "
            "from the model's original config.json."
        )
        raise ConfigError(message)
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number that can be computed with."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < _LARGEST  # false for NaN and infinities too
    )
