"""The description of a model family: what never differs between its checkpoints.

A family is a value of `FamilySpec`, a row of data. Code asks the axes (`spec.norm.placement`,
`isinstance(spec.position, Alibi)`), never the name. What differs between checkpoints of one family
is in `Sizes`; how weights are named and laid out in files is llm-convert's knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["silu", "gelu", "gelu_tanh", "relu"]


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864).

    Canonical q and k rows are in the order that the family's own `pairing` expects: `half` rotates
    (i, i + d/2), `interleaved` rotates (2i, 2i + 1). `fraction` of the head is rotated, the rest
    passes. With two `channels` the first half of the head follows the position and the second half
    the block position (ChatGLM-6B). `dynamic_ntk` grows theta with the prompt (Qwen-1).
    `half_precision` rounds the inverse frequencies to float16, as the hub's ChatGLM-6B does.
    """

    pairing: Literal["half", "interleaved"] = "half"
    fraction: float = 1.0
    channels: Literal[1, 2] = 1
    dynamic_ntk: bool = False
    half_precision: bool = False
    default_theta: float = 10_000.0


@dataclass(frozen=True)
class Alibi:
    """A bias on the scores, linear in the key's position (Press et al. 2021, arXiv:2108.12409)."""


@dataclass(frozen=True)
class Learned:
    """A table of position embeddings, added to the token's embedding.

    The row is `position + offset` (OPT: 2). With `block` a second table is indexed by the block
    position, and both have one row more than the configured length (GLM).
    """

    offset: int = 0
    block: bool = False


Position: TypeAlias = Rope | Alibi | Learned


@dataclass(frozen=True)
class Norm:
    """The norms and how the residual runs around them.

    `placement` pre: `x + f(norm(x))`; post: `norm(x + f(x))`. `residual` normed: the skip path
    starts after the norm. `residual_scale` multiplies the skip path. `embedding`: a norm follows
    the embedding (Bloom). `final`: a norm precedes the head. `default_eps` stands in where the
    configuration has no epsilon; None: the configuration must state it.
    """

    kind: Literal["rms", "layer"] = "rms"
    placement: Literal["pre", "post"] = "pre"
    residual: Literal["input", "normed"] = "input"
    residual_scale: float = 1.0
    embedding: bool = False
    final: bool = True
    default_eps: float | None = None


@dataclass(frozen=True)
class Attention:
    """Biases and extras of the attention; multi-query and grouped-query are sizes (`kv_heads`).

    `qk_norm`: an RMS norm over each head of q and k before the rotation (Qwen3). `logn`: queries
    beyond the trained length are scaled by log(position) / log(trained length) (Qwen-1).
    """

    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    logn: bool = False


@dataclass(frozen=True)
class Mlp:
    """The feed-forward block: `down(act(up(x)))`, or gated `down(act(gate(x)) * up(x))`.

    `width_factor` corrects configurations that state another width than the weights have (Qwen-1
    states twice the width); `default_width` times hidden is the width where none is stated.
    """

    activation: Activation = "silu"
    gated: bool = True
    bias: bool = False
    width_factor: float = 1.0
    default_width: int | None = None


@dataclass(frozen=True)
class Moe:
    """A mixture of experts: softmax over all experts, then the top k of a token.

    `renormalize` makes the k weights sum to one; None leaves it to `norm_topk_prob` of the
    configuration. `shared_expert` adds one expert that every token visits, behind a sigmoid gate.
    """

    renormalize: bool | None = None
    shared_expert: bool = False


@dataclass(frozen=True)
class Head:
    """The output projection.

    `tied` None leaves it to `tie_word_embeddings`, and to `tied_default` where that is absent.
    `normalized`: the rows are scaled to length one when used (Baichuan2's NormHead).
    """

    tied: bool | None = None
    tied_default: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class FamilySpec:
    """One model family.

    `mask` prefix: tokens of the prompt up to its prefix length see each other in both directions.
    `length_fields`: the configuration's names for the trained length, the first present counts.
    """

    name: str
    norm: Norm = Norm()
    position: Position = Rope()
    attention: Attention = Attention()
    mlp: Mlp = Mlp()
    moe: Moe | None = None
    head: Head = Head()
    mask: Literal["causal", "prefix"] = "causal"
    length_fields: tuple[str, ...] = ("max_position_embeddings", "model_max_length")
