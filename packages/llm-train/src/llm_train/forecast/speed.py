"""Seconds of a training step, as a sum of three things that a machine's pace says the price of.

Large products, elements that go through everything else (norms, activations, softmax, losses, the
optimizer), and calls: small models wait for Python and for the begin of operations more than for
arithmetic. The factors were fitted to measured steps (docs/performance.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_kernels.families import FamilySpec, Sizes, parameters
from llm_train.forecast.cost import flops_per_token
from llm_train.forecast.memory import block_elements
from llm_train.parallel.layout import ONE, Layout

RECOMPUTED = 4 / 3
"""Forward, backward, and forward once more, against the first two."""
_PRODUCTS = 1.1
"""Products of training are narrower than the one that is measured."""
_KEPT, _LOGIT, _PARAMETER = 1.65, 2.8, 4.1
"""Softmaxes of an element that cost as much as one that is kept for going backward, one of the
logits, and one of a parameter in clipping and the optimizer."""
_BLOCK_CALLS, _TENSOR_CALLS = 400, 50
"""Calls on a few numbers that take as long as those of a block (both ways), and as those of a
tensor in clipping and the optimizer."""


@dataclass(frozen=True)
class Pace:
    """What one process does: operations a second of a large float32 product, elements a second of
    a softmax over short rows, and seconds of a call on a few numbers.
    """

    product: float
    stream: float
    call: float

    def shared(self, processes: int, processors: int) -> Pace:
        """The pace of each of so many processes, which have a part of the processors each."""
        crowd = max(processes / processors, 1.0)
        return Pace(self.product / processes, self.stream / crowd, self.call * crowd)


@dataclass(frozen=True)
class Cost:
    """Operations of products, elements of everything else, and calls."""

    operations: float
    elements: float
    calls: float

    def seconds(self, pace: Pace) -> float:
        """How long one process takes."""
        return self.operations / pace.product + self.elements / pace.stream + self.calls * pace.call


def micro_cost(
    spec: FamilySpec, sizes: Sizes, layout: Layout, *, batch: int, tokens: int, recompute: bool
) -> Cost:
    """Of one process for forward and backward of [batch, tokens]; shared work is in equal parts."""
    rows = batch * tokens
    again = RECOMPUTED if recompute else 1.0
    kept = sum(
        block_elements(spec, sizes, ONE, block, batch, tokens) for block in range(sizes.layers)
    )
    logits = rows * sizes.vocab
    group = layout.tensor * layout.pipeline
    return Cost(
        _PRODUCTS * again * flops_per_token(spec, sizes, tokens) * rows / group,
        (_KEPT * again * kept + _LOGIT * logits) / group,
        _BLOCK_CALLS * again * sizes.layers / layout.pipeline,
    )


def step_cost(spec: FamilySpec, sizes: Sizes, layout: Layout) -> Cost:
    """Of one process for what comes once a step: clipping and the optimizer."""
    shapes = parameters(spec, sizes).values()
    count = sum(math.prod(shape) for shape in shapes)
    shared = layout.tensor * layout.pipeline * (layout.sharding if layout.stage else 1)
    return Cost(0.0, _PARAMETER * count / shared, _TENSOR_CALLS * len(shapes) / layout.pipeline)
