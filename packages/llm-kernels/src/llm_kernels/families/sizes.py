"""Sizes of one checkpoint, read from its `config.json` through one table of field names.

Nothing here knows a family: what a family fixes comes from its spec, everything else from the
configuration. A field that is needed and absent is an error that names it and its aliases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from llm_kernels.errors import ConfigError
from llm_kernels.families.expert_sizes import expert_sizes
from llm_kernels.families.fields import (
    ALIASES,
    LENGTHS,
    number,
    plain_list,
    plain_number,
    plain_object,
    stated,
    whole,
)
from llm_kernels.families.scaling import RopeScaling, YarnScaling, read_rope_scaling
from llm_kernels.families.spec import Alibi, FamilySpec, Rope

# Of layers or experts: no model has so many, and a list of their parameters would fill the memory.
_MOST_BLOCKS = 1 << 20


@dataclass(frozen=True)
class Latent:
    """Widths of multi-head latent attention.

    `q_rank`, `kv_rank`: of the narrow vectors (0: q is no such vector). `rope_dim`: the rotated end
    of a head of q and k. `value_dim`: a head of v. `eps`: of the norms of the narrow vectors, which
    the original code fixes.
    """

    kv_rank: int
    rope_dim: int
    value_dim: int
    q_rank: int = 0
    eps: float = 1e-6


@dataclass(frozen=True)
class Sizes:
    """Every number of a checkpoint that its computation needs.

    hidden E, layers L, heads H, kv_heads G, head_dim D, mlp M, vocab V. `max_positions` is the
    trained length. `embed_dim` is the width of the embedding and the head (OPT-350M: not hidden).
    `dense_layers` of a mixture of experts keep a plain MLP. `window`: keys further back than this
    are not seen, except in `full_layers`. `score_scale` multiplies the scores (0: 1 / sqrt(D)).
    `score_cap` and `logit_cap` bound scores and logits by cap * tanh(x / cap) (0: not). `rotary`:
    how many elements of a head rotate, where the configuration says (0: the family's fraction).
    `groups` of experts, of which `groups_per_token` are open to a token.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocab: int
    eps: float
    theta: float = 10_000.0
    tied: bool = False
    max_positions: int = 0
    embed_dim: int = 0
    window: int | None = None
    full_layers: frozenset[int] = frozenset()
    rope_scaling: RopeScaling | None = None
    score_scale: float = 0.0
    score_cap: float = 0.0
    logit_cap: float = 0.0
    rotary: int = 0
    latent: Latent | None = None
    experts: int = 0
    experts_per_token: int = 0
    expert_mlp: int = 0
    shared_mlp: int = 0
    renormalize: bool = False
    groups: int = 1
    groups_per_token: int = 1
    routed_scale: float = 1.0
    dense_layers: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Default the embedding's width to `hidden` and refuse impossible numbers."""
        if not self.embed_dim:
            object.__setattr__(self, "embed_dim", self.hidden)
        for field in ("hidden", "layers", "heads", "kv_heads", "head_dim", "mlp", "vocab"):
            if getattr(self, field) < 1:
                message = (
                    f"{field} is {getattr(self, field)}, at least 1 is needed. "
                    f"Correct {' / '.join(ALIASES[field])} in config.json."
                )
                raise ConfigError(message)
        if self.layers * max(1, self.experts) > _MOST_BLOCKS:
            message = (
                f"config.json states {self.layers} layers and {self.experts} experts, more than "
                f"{_MOST_BLOCKS} blocks. Copy the fields from the model's original config.json."
            )
            raise ConfigError(message)
        if self.heads % self.kv_heads:
            message = (
                f"heads ({self.heads}) is no multiple of kv_heads ({self.kv_heads}), so query "
                "heads cannot share them. Correct num_key_value_heads in config.json."
            )
            raise ConfigError(message)

    @property
    def projected(self) -> bool:
        """Whether linears lead from the embedding's width to `hidden` and back."""
        return self.embed_dim != self.hidden

    @property
    def value_dim(self) -> int:
        """Width of a head of v."""
        return self.latent.value_dim if self.latent else self.head_dim

    @property
    def scale(self) -> float:
        """What the attention scores are multiplied by."""
        return self.score_scale or 1 / sqrt(self.head_dim)

    def layer_window(self, layer: int) -> int | None:
        """How many keys back `layer` sees, its own included; None for all."""
        return None if layer in self.full_layers else self.window


def read_sizes(spec: FamilySpec, config: Mapping[str, Any]) -> Sizes:
    """The sizes that `config` states for a model of the family `spec`.

    Raises ConfigError that names the missing field, all its aliases, and what it is needed for.
    """
    hidden = whole(spec, config, "hidden")
    heads = whole(spec, config, "heads")
    layers = whole(spec, config, "layers")
    default_mlp = spec.mlp.default_width and spec.mlp.default_width * hidden
    mlp = int(whole(spec, config, "mlp", default_mlp) * spec.mlp.width_factor)
    max_positions = _length(spec, config)
    window, full_layers = _window(spec, config, layers)
    rope = isinstance(spec.position, Rope)
    scaling = read_rope_scaling(config, max_positions) if rope else None
    return Sizes(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=_kv_heads(spec, config, heads),
        mlp=mlp,
        vocab=whole(spec, config, "vocab"),
        eps=number(spec, config, "eps", spec.norm.default_eps),
        theta=_theta(spec, config),
        tied=_tied(spec, config),
        max_positions=max_positions,
        embed_dim=whole(spec, config, "embed_dim", hidden),
        window=window,
        full_layers=full_layers,
        rope_scaling=scaling,
        score_cap=_cap(spec, config, "score_cap") if spec.attention.capped else 0.0,
        logit_cap=_cap(spec, config, "logit_cap") if spec.head.capped else 0.0,
        **_head_sizes(spec, config, hidden, heads, scaling),
        **(expert_sizes(spec, config, mlp, layers) if spec.moe else {}),
    )


def _kv_heads(spec: FamilySpec, config: Mapping[str, Any], heads: int) -> int:
    if spec.attention.single_kv:
        return 1
    latent = spec.attention.latent != "none"
    grouped = config.get("multi_query_attention", True) and not latent
    return whole(spec, config, "kv_heads", heads) if grouped else heads


def _head_sizes(
    spec: FamilySpec,
    config: Mapping[str, Any],
    hidden: int,
    heads: int,
    scaling: RopeScaling | None,
) -> dict[str, Any]:
    """Widths of a head, how much of it rotates, and the scale of its scores."""
    if spec.attention.latent != "none":
        return _latent_sizes(spec, config, scaling)
    dim = whole(spec, config, "head_dim", _even_share(config, hidden, heads))
    sizes: dict[str, Any] = {"head_dim": dim}
    if isinstance(spec.position, Rope) and config.get("partial_rotary_factor") is not None:
        sizes["rotary"] = _rotary(config, dim)
    if spec.attention.scale == "stated":
        sizes["score_scale"] = number(spec, config, "query_scalar") ** -0.5
    return sizes


def _rotary(config: Mapping[str, Any], dim: int) -> int:
    rotary = int(dim * plain_number(config, "partial_rotary_factor", 1.0))
    if not 0 < rotary <= dim:
        message = (
            f"partial_rotary_factor in config.json is {config['partial_rotary_factor']}, by which "
            f"{rotary} of {dim} elements of a head would rotate. Correct it: above 0, at most 1."
        )
        raise ConfigError(message)
    return rotary


def _latent_sizes(
    spec: FamilySpec, config: Mapping[str, Any], scaling: RopeScaling | None
) -> dict[str, Any]:
    rope_dim = whole(spec, config, "rope_dim")
    dim = whole(spec, config, "nope_dim") + rope_dim
    latent = Latent(
        kv_rank=whole(spec, config, "kv_rank"),
        rope_dim=rope_dim,
        value_dim=whole(spec, config, "value_dim"),
        q_rank=whole(spec, config, "q_rank") if spec.attention.latent == "qkv" else 0,
    )
    stretch = scaling.score_factor if isinstance(scaling, YarnScaling) else 1.0
    return {
        "head_dim": dim,
        "rotary": rope_dim,
        "latent": latent,
        "score_scale": stretch / sqrt(dim),
    }


def _cap(spec: FamilySpec, config: Mapping[str, Any], size: str) -> float:
    """A cap that may be stated as null: 0 then."""
    field = ALIASES[size][0]
    stated = field in config and config[field] is None
    return 0.0 if stated else float(number(spec, config, size))


def _even_share(config: Mapping[str, Any], hidden: int, heads: int) -> int | None:
    """Each head's part of `hidden`; None where that is not even, and the width of a head stated."""
    if heads > 0 and hidden % heads == 0:
        return hidden // heads
    if stated("head_dim", config) is not None:
        return None
    field = stated("heads", config)
    message = (
        f"{field} in config.json is {heads}; at least 1 is needed. "
        if heads < 1
        else f"{stated('hidden', config)} {hidden} is not divisible by {field} {heads}, and "
        "config.json states no head_dim. "
    )
    raise ConfigError(message + "Copy the fields from the model's original config.json.")


def _length(spec: FamilySpec, config: Mapping[str, Any]) -> int:
    fields = tuple(dict.fromkeys((*spec.length_fields, *LENGTHS)))
    for field in fields:
        if config.get(field) is not None:
            return int(plain_number(config, field, 0))
    if spec.default_length is not None:
        return spec.default_length
    if isinstance(spec.position, Alibi):
        return 0
    message = (
        f"config.json has none of {', '.join(fields)}, needed for the trained length of the family "
        f"{spec.name}. Copy the field from the model's original config.json."
    )
    raise ConfigError(message)


def _theta(spec: FamilySpec, config: Mapping[str, Any]) -> float:
    if not isinstance(spec.position, Rope):
        return Rope.default_theta
    newer = plain_object(config, "rope_parameters")
    default = plain_number(newer, "rope_theta", spec.position.default_theta)
    theta = float(number(spec, config, "theta", default))
    # ChatGLM's long-context files state a multiple of theta instead of theta.
    theta *= plain_number(config, "rope_ratio", 1.0)
    if theta <= 0:
        message = (
            f"The base of the rotary frequencies in config.json is {theta}; it must be above 0."
        )
        raise ConfigError(message)
    return theta


def _tied(spec: FamilySpec, config: Mapping[str, Any]) -> bool:
    if spec.head.tied is not None:
        return spec.head.tied
    stated = config.get("tie_word_embeddings")
    return spec.head.tied_default if stated is None else bool(stated)


def _window(
    spec: FamilySpec, config: Mapping[str, Any], layers: int
) -> tuple[int | None, frozenset[int]]:
    window = config.get("sliding_window")
    if window is None or not config.get("use_sliding_window", True):
        return None, frozenset()
    kinds = plain_list(config, "layer_types", str)
    if kinds:
        full = frozenset(i for i, kind in enumerate(kinds) if kind == "full_attention")
    elif spec.attention.windowed == "even":
        full = frozenset(range(1, layers, 2))
    elif spec.attention.windowed == "late" and "use_sliding_window" in config:
        full = frozenset(range(min(int(plain_number(config, "max_window_layers", 0)), layers)))
    else:
        full = frozenset()
    length = int(plain_number(config, "sliding_window", 0))
    if length < 1:
        message = f"sliding_window in config.json is {window}; 1 is the least, or null for none."
        raise ConfigError(message)
    return length, full
