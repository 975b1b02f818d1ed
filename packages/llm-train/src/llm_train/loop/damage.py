"""Weights that a step has broken are not written.

A gradient that overflowed makes every weight NaN in one step, which the next step's loss shows; a
checkpoint in between would be whole, newest, and worthless.
"""

from __future__ import annotations

from typing import Any

import paddle

from llm_train.errors import DivergedError
from llm_train.parallel.collectives import total
from llm_train.parallel.groups import Parallel


def refuse_damage(optimizer: Any, step: int, parallel: Parallel | None) -> None:
    """Raise DivergedError where a weight that is trained is not finite; all processes call it."""
    trained = getattr(optimizer, "inner", optimizer)._parameter_list
    bad = float(sum(not bool(paddle.isfinite(weight).all()) for weight in trained))
    if parallel is not None:
        bad = total(bad, parallel.tensor, parallel.pipeline, parallel.sharding, parallel.data)
    if bad:
        message = (
            f"{bad:.0f} weight tensors are not finite after step {step}, so they are not "
            "written. Lower --learning_rate or raise --warmup_steps, and resume from the last "
            "checkpoint."
        )
        raise DivergedError(message)
