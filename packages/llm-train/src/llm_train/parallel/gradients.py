"""From each process's gradients to the gradient of the whole step, and its norm.

Every process goes backward from its own part of the sum of losses over the step's tokens, already
divided by how many tokens all of them train on, so gradients are added up and never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import paddle

from llm_train.parallel.collectives import sum_gradients, total
from llm_train.parallel.groups import Parallel


def fill_missing(parameters: Iterable[Any]) -> None:
    """Give zeros to trained parameters that no token of this process reached, such as an expert's.

    Then such a parameter is stepped like any other, and alike on one process and on many.
    """
    for parameter in parameters:
        if not parameter.stop_gradient and parameter.grad is None:
            parameter.grad = paddle.zeros_like(parameter)


def sum_partial(parameters: Iterable[Any], parallel: Parallel) -> None:
    """Add up what only several ranks together know: `partial` and `tied` parameters.

    `tied`: the embedding that the first and the last stage of a pipeline hold.
    """
    held = [parameter for parameter in parameters if not parameter.stop_gradient]
    sum_gradients((p for p in held if getattr(p, "partial", False)), parallel.tensor)
    if parallel.ends is not None:
        sum_gradients((p for p in held if getattr(p, "tied", False)), parallel.ends)


def global_norm(counted: Iterable[paddle.Tensor], parallel: Parallel) -> float:
    """The norm of the step's gradient; `counted` are the gradients that no other process counts."""
    own = sum_of_squares(counted)
    return math.sqrt(total(own, parallel.tensor, parallel.sharding, parallel.pipeline))


def sum_of_squares(gradients: Iterable[paddle.Tensor]) -> float:
    """Over all elements; added up in float32 within a gradient, in float64 between them."""
    squares = [(gradient.astype("float32") ** 2).sum() for gradient in gradients]
    return float(paddle.stack(squares).astype("float64").sum()) if squares else 0.0


def counts_here(parameter: Any, parallel: Parallel) -> bool:
    """Whether this rank, of those that hold the parameter whole, is the one that counts it."""
    if getattr(parameter, "tied", False) and not parallel.first_stage:
        return False
    return bool(parameter.is_distributed) or parallel.layout.tensor_rank == 0


@paddle.no_grad()
def scale(
    gradients: Iterable[paddle.Tensor], norm: float, limit: float, factor: float = 1.0
) -> None:
    """Divide gradients of the given norm by `factor`, then shrink to norm `limit` at most; 0: any.

    `factor` is a power of two, so what it multiplied is what it leaves.
    """
    norm = norm / factor
    by = limit / norm / factor if 0 < limit < norm else 1.0 / factor
    if by != 1.0:
        for gradient in gradients:
            gradient.scale_(by)
