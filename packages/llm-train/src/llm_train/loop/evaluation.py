"""Loss, perplexity and accuracy over held-out samples, exact per token whatever the batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import paddle
from paddle import nn

from llm_train.errors import BatchError
from llm_train.loop.batches import model_inputs
from llm_train.loop.data import Batch, Samples, TrainingData
from llm_train.loop.loss import hits, summed_loss, trained_tokens


def evaluate(
    model: nn.Layer,
    data: TrainingData,
    samples: Samples,
    batch_size: int,
    limit: int | None = None,
    prefix: str = "eval",
) -> dict[str, float]:
    """`{prefix}_loss` (nats a token), `_ppl`, `_accuracy` and `_tokens` over `samples`.

    `limit`: only so many batches, the first ones. Raises BatchError where no token has a label.
    """
    model.eval()
    loss, right, tokens = 0.0, 0, 0
    with paddle.no_grad():
        for batch in islice(_batches(data, samples, batch_size), limit):
            labels = paddle.to_tensor(batch["labels"])
            logits = model(**model_inputs(batch))
            loss += float(summed_loss(logits, labels))
            right += hits(logits, labels)
            tokens += trained_tokens(batch["labels"])
    if not tokens:
        message = (
            f"None of the tokens of the {len(samples)} held-out samples has a label, so there is "
            "nothing to evaluate. Look at them with `llm data check`."
        )
        raise BatchError(message)
    mean = loss / tokens
    return {
        f"{prefix}_loss": mean,
        f"{prefix}_ppl": math.exp(min(mean, 700.0)),
        f"{prefix}_accuracy": right / tokens,
        f"{prefix}_tokens": tokens,
    }


def _batches(data: TrainingData, samples: Samples, size: int) -> Iterator[Batch]:
    for first in range(0, len(samples), size):
        rows = range(first, min(first + size, len(samples)))
        yield data.collate([samples[row] for row in rows])
