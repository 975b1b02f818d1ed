"""Loss, perplexity and accuracy over held-out samples, exact per token whatever the batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
from paddle import nn

from llm_train.errors import BatchError, DivergedError
from llm_train.loop.compute import Figures, make_computation
from llm_train.loop.data import Batch, Samples, TrainingData
from llm_train.loop.loss import IGNORED, trained_tokens
from llm_train.loop.precision import FULL, Precision
from llm_train.parallel.collectives import total, wait_for_all
from llm_train.parallel.groups import Parallel

_AT_ONCE = 2
"""Batches that a stage of a pipeline is given at once, for each stage."""


def evaluate(
    model: nn.Layer,
    data: TrainingData,
    samples: Samples,
    batch_size: int,
    limit: int | None = None,
    prefix: str = "eval",
    parallel: Parallel | None = None,
    precision: Precision = FULL,
) -> dict[str, float]:
    """`{prefix}_loss` (nats a token), `_ppl`, `_accuracy` and `_tokens` over `samples`.

    `limit`: only so many batches, the first ones. Replicas of the model take turns with the
    batches. Raises BatchError where no token has a label.
    """
    model.eval()
    computation = make_computation(model, parallel, precision)
    figures, tokens = Figures(), 0
    for batches in _rounds(_batches(data, samples, batch_size, limit, parallel), parallel):
        own = computation.look(batches)
        figures.loss += own.loss
        figures.right += own.right
        tokens += sum(trained_tokens(batch["labels"]) for batch in batches)
    loss, right = figures.loss, float(figures.right)
    if parallel is not None:
        wait_for_all(parallel)
        replicas = (parallel.sharding, parallel.data)
        loss = total(loss, *replicas, parallel.pipeline)
        right = total(right, *replicas, parallel.pipeline)
        tokens = int(total(tokens, *replicas))
    if not tokens:
        message = (
            f"None of the tokens of the {len(samples)} held-out samples has a label, so there is "
            "nothing to evaluate. Look at them with `llm data check`."
        )
        raise BatchError(message)
    mean = loss / tokens
    if not math.isfinite(mean):
        message = (
            f"The held-out loss is {mean}: this model's weights or logits are not finite numbers. "
            "Evaluate or train another checkpoint; `llm train` says at which step a run diverges."
        )
        raise DivergedError(message)
    return {
        f"{prefix}_loss": mean,
        f"{prefix}_ppl": math.exp(min(mean, 700.0)),
        f"{prefix}_accuracy": right / tokens,
        f"{prefix}_tokens": tokens,
    }


def _batches(
    data: TrainingData,
    samples: Samples,
    size: int,
    limit: int | None,
    parallel: Parallel | None,
) -> Iterator[Batch]:
    """This replica's batches: every n-th of all, of n replicas."""
    replica, replicas = (parallel.layout.replica, parallel.layout.replicas) if parallel else (0, 1)
    starts = list(islice(range(0, len(samples), size), limit))
    own = starts[replica::replicas]
    for first in own:
        rows = range(first, min(first + size, len(samples)))
        yield data.collate([samples[row] for row in rows])
    rounds = -(-len(starts) // replicas)
    if parallel is not None and parallel.layout.stage == 3 and len(own) < rounds:
        # The weights are gathered by all: who has no batch left looks at one that counts nothing.
        batch = data.collate([samples[0]])
        yield {**batch, "labels": np.full_like(batch["labels"], IGNORED)}


def _rounds(batches: Iterator[Batch], parallel: Parallel | None) -> Iterator[list[Batch]]:
    size = parallel.layout.pipeline * _AT_ONCE if parallel else 1
    while some := list(islice(batches, size)):
        yield some
