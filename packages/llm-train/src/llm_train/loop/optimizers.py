"""The optimizer of a run: Paddle's AdamW, alone or within what several processes need around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle
from paddle import nn
from paddle.static import default_main_program

from llm_train.loop.decay import decayed
from llm_train.loop.scaled_optimizer import ScaledOptimizer
from llm_train.loss_scale import NOT_SCALED, LossScale
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
    loss_scale: LossScale = NOT_SCALED,
) -> Any:
    """An optimizer of class `kind` over the model; only matrices decay, whatever their names.

    `norm`: the largest norm of a step's gradient; 0: any. Gradients are `loss_scale` times too
    large.
    """
    shrunk = decayed(model)
    named = dict(model.named_parameters())
    automatic = {parameter.name for name, parameter in named.items() if name in shrunk}

    def make(parameters: Sequence[Any], clip: nn.ClipGradByGlobalNorm | None = None) -> Any:
        made = kind(
            parameters=list(parameters),
            apply_decay_param_fun=lambda name: name.removesuffix(SLICE) in automatic,
            grad_clip=clip,
            **settings,
        )
        if loss_scale.dynamic:
            # Paddle makes the state at the first step, and every step so far may be skipped.
            trained = [parameter for parameter in parameters if not parameter.stop_gradient]
            made._create_accumulators(default_main_program().global_block(), trained)
        return made

    if parallel is None:
        alone = make(list(named.values()), nn.ClipGradByGlobalNorm(norm) if norm > 0 else None)
        return ScaledOptimizer(alone, named.values(), loss_scale) if loss_scale.dynamic else alone
    if parallel.layout.stage == 3:
        return SlicedOptimizer(named, model.decoder, make, parallel, norm, loss_scale)
    return ParallelOptimizer(named, make, parallel, norm, loss_scale)
