"""The optimizer of a run: Paddle's AdamW, alone or within what several processes need around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

from llm_train.loop.decay import decayed
from llm_train.parallel.groups import Parallel
from llm_train.parallel.optimizer import ParallelOptimizer
from llm_train.parallel.sliced_optimizer import SlicedOptimizer
from llm_train.parallel.slices import SLICE


def make_optimizer(
    model: nn.Layer,
    kind: Callable[..., paddle.optimizer.Optimizer],
    settings: Mapping[str, Any],
    norm: float,
    parallel: Parallel | None,
) -> Any:
    """An optimizer of class `kind` over the model; only matrices decay, whatever their names.

    `norm`: the largest norm of a step's gradient; 0: any.
    """
    shrunk = decayed(model)
    named = dict(model.named_parameters())
    automatic = {parameter.name for name, parameter in named.items() if name in shrunk}

    def make(parameters: Sequence[Any], clip: nn.ClipGradByGlobalNorm | None = None) -> Any:
        return kind(
            parameters=list(parameters),
            apply_decay_param_fun=lambda name: name.removesuffix(SLICE) in automatic,
            grad_clip=clip,
            **settings,
        )

    if parallel is None:
        return make(list(named.values()), nn.ClipGradByGlobalNorm(norm) if norm > 0 else None)
    if parallel.layout.stage == 3:
        return SlicedOptimizer(named, model.decoder, make, parallel, norm)
    return ParallelOptimizer(named, make, parallel, norm)
