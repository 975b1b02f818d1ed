"""Feed-forward blocks: activations, plain and gated, and the mixture of experts.

The functions take the block's own layers, so that parameters keep their canonical names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.incubate.nn.functional import swiglu

from llm_kernels.families import FamilySpec, Moe, Sizes
from llm_kernels.paddle.layers import Layers

_ACTIVATIONS: Mapping[str, Callable[[paddle.Tensor], paddle.Tensor]] = MappingProxyType(
    {
        "silu": F.silu,
        "relu": F.relu,
        "gelu": F.gelu,
        "gelu_tanh": partial(F.gelu, approximate=True),
    }
)


def activate(kind: str, hidden: paddle.Tensor) -> paddle.Tensor:
    """The activation `kind` of `llm_kernels.families.Mlp`, elementwise."""
    return _ACTIVATIONS[kind](hidden)


def gate(kind: str, gates: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
    """act(gates) * values, [..., M] each (Shazeer 2020, arXiv:2002.05202)."""
    if kind == "silu":
        return swiglu(gates, values)
    return activate(kind, gates) * values


class Expert(nn.Layer):
    """One expert: down(act(gate(x)) * up(x)), [N, E] -> [N, E]."""

    def __init__(self, spec: FamilySpec, sizes: Sizes, layers: Layers) -> None:
        super().__init__()
        self.activation = spec.mlp.activation
        self.expert_gate = layers.column(sizes.hidden, sizes.expert_mlp, False)
        self.expert_up = layers.column(sizes.hidden, sizes.expert_mlp, False)
        self.expert_down = layers.row(sizes.expert_mlp, sizes.hidden, False)

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[N, E] -> [N, E]."""
        gated = gate(self.activation, self.expert_gate(hidden), self.expert_up(hidden))
        return self.expert_down(gated)


class Correction(nn.Layer):
    """What joins the scores of X experts for the choice only, `weight` [X]; not trained by them."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.weight = self.create_parameter(
            [experts], default_initializer=nn.initializer.Constant(0.0)
        )
        self.weight.stop_gradient = True


def route(
    logits: paddle.Tensor, moe: Moe, sizes: Sizes, correction: paddle.Tensor | None
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Top experts of each row and their weights, [N, k] each, of the router's logits [N, X].

    The rule is that of `llm_kernels.reference.route`.
    """
    logits = logits.astype("float32")
    shares = F.softmax(logits, axis=-1) if moe.scores == "softmax" else F.sigmoid(logits)
    choice = shares if correction is None else shares + correction.astype("float32")
    if sizes.groups > 1:
        grouped = choice.reshape([-1, sizes.groups, sizes.experts // sizes.groups])
        best = 2 if moe.groups == "best_two" else 1
        worth = paddle.topk(grouped, best, axis=-1)[0].sum(axis=-1)
        opened = paddle.topk(worth, sizes.groups_per_token, axis=-1)[1]
        among = F.one_hot(opened, sizes.groups).sum(axis=1).unsqueeze(-1)
        choice = (grouped * among).reshape(choice.shape)
    chosen = paddle.topk(choice, sizes.experts_per_token, axis=-1)[1]
    weights = paddle.take_along_axis(shares, chosen, axis=-1)
    if sizes.renormalize:
        weights = weights / weights.sum(axis=-1, keepdim=True)
    return chosen, weights * sizes.routed_scale


def mix_experts(
    hidden: paddle.Tensor, chosen: paddle.Tensor, weights: paddle.Tensor, experts: nn.LayerList
) -> paddle.Tensor:
    """Send every row of [N, E] through its experts and add their weighted answers, [N, E].

    `chosen` and `weights` [N, k] are what `route` returns.
    """
    weights = weights.astype(hidden.dtype)
    mixed = paddle.zeros_like(hidden)
    for index, expert in enumerate(experts):
        where = paddle.nonzero(chosen == index)
        if where.shape[0] == 0:
            continue
        rows = where[:, 0]
        answer = expert(paddle.gather(hidden, rows)) * paddle.gather_nd(weights, where)[:, None]
        mixed = paddle.index_add(mixed, rows, 0, answer)
    return mixed
