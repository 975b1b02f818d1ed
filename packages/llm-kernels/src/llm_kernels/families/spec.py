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
    """A bias on the scores, linear in the key's position (Press et al. 2021, arXiv:2108.12409).

    `scaled`: it is added before the scores are scaled, so that it is scaled as well (Falcon).
    `rounded`: slopes and their products with the positions are rounded to bfloat16 (Falcon).
    """

    scaled: bool = False
    rounded: bool = False


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

    `placement` pre: `x + f(norm(x))`; post: `norm(x + f(x))`; sandwich: `x + norm(f(norm(x)))` with
    two norms of its own for each f (Gemma 2). `residual` normed: the skip path starts after the
    norm. `residual_scale` multiplies the skip path. `parallel`: attention and MLP read the same
    residual and are added together; with `shared` they also read the same norm, `attn_norm`
    (Falcon). `embedding`: a norm follows the embedding (Bloom). `final`: a norm precedes the head.
    `unit_offset`: an RMS norm multiplies by 1 + weight (Gemma). `default_eps` stands in where the
    configuration has no epsilon; None: the configuration must state it.
    """

    kind: Literal["rms", "layer"] = "rms"
    placement: Literal["pre", "post", "sandwich"] = "pre"
    residual: Literal["input", "normed"] = "input"
    residual_scale: float = 1.0
    parallel: bool = False
    shared: bool = False
    embedding: bool = False
    final: bool = True
    unit_offset: bool = False
    default_eps: float | None = None


@dataclass(frozen=True)
class Attention:
    """Biases and extras of the attention; multi-query and grouped-query are sizes (`kv_heads`).

    `qk_norm`: an RMS norm over each head of q and k before the rotation (Qwen3). `logn`: queries
    beyond the trained length are scaled by log(position) / log(trained length) (Qwen-1).
    `single_kv`: k and v have one head whatever the configuration counts (Falcon). `scale`: scores
    are divided by the square root of the head's width, or of the configuration's
    `query_pre_attn_scalar` (Gemma 2). `capped`: the configuration states a cap of the scores.
    `windowed`: which layers a sliding window applies to where the configuration has no
    `layer_types`: those from `max_window_layers` on, all, or every second one, the first included.
    `latent`: k and v, or also q, come out of a narrow normed vector of the token (multi-head latent
    attention, DeepSeek-AI 2024, arXiv:2405.04434).
    """

    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    logn: bool = False
    single_kv: bool = False
    scale: Literal["head_dim", "stated"] = "head_dim"
    capped: bool = False
    windowed: Literal["late", "all", "even"] = "late"
    latent: Literal["none", "kv", "qkv"] = "none"


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
    """A mixture of experts: scores over all experts, then the top k of a token.

    `scores`: softmax or sigmoid of the router's outputs. `renormalize` makes the k weights sum to
    one; None leaves it to `norm_topk_prob` of the configuration. `shared_expert` adds one expert
    that every token visits; with `shared_gate` behind a sigmoid gate. `groups`: only experts of the
    best groups can be chosen, and a group is as good as its best expert, or as its best two
    together (DeepSeek). `corrected`: a learned bias joins the scores for the choice, not for the
    weights (DeepSeek-V3, arXiv:2412.19437). `scaled`: the weights are multiplied by
    `routed_scaling_factor`.
    """

    scores: Literal["softmax", "sigmoid"] = "softmax"
    renormalize: bool | None = None
    shared_expert: bool = False
    shared_gate: bool = True
    groups: Literal["none", "best", "best_two"] = "none"
    corrected: bool = False
    scaled: bool = False


@dataclass(frozen=True)
class Head:
    """The output projection.

    `tied` None leaves it to `tie_word_embeddings`, and to `tied_default` where that is absent.
    `normalized`: the rows are scaled to length one when used (Baichuan2's NormHead). `capped`: the
    configuration states a cap of the logits (Gemma 2).
    """

    tied: bool | None = None
    tied_default: bool = False
    normalized: bool = False
    capped: bool = False


@dataclass(frozen=True)
class FamilySpec:
    """One model family.

    `mask` prefix: tokens of the prompt up to its prefix length see each other in both directions.
    `scaled_embedding`: the embedding is multiplied by the square root of its width (Gemma).
    `length_fields`: the configuration's names for the trained length, the first present counts;
    `default_length` stands in where none is.
    """

    name: str
    norm: Norm = Norm()
    position: Position = Rope()
    attention: Attention = Attention()
    mlp: Mlp = Mlp()
    moe: Moe | None = None
    head: Head = Head()
    mask: Literal["causal", "prefix"] = "causal"
    scaled_embedding: bool = False
    length_fields: tuple[str, ...] = ("max_position_embeddings", "model_max_length")
    default_length: int | None = None
