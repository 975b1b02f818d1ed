"""Cross entropy as a sum and a count: a mean over tokens must not depend on how they are cut.

A mean of micro-batch means would weigh the tokens of a short batch more than those of a long one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from llm_train.parallel.tensor.loss import parallel_hits, parallel_summed_loss

IGNORED = -100
"""Label of a token that is not learnt."""


def summed_loss(logits: paddle.Tensor, labels: paddle.Tensor, group: Any = None) -> paddle.Tensor:
    """Sum of the cross entropies (nats) of [B, T, V] `logits` at `labels` int64 [B, T], a scalar.

    Labels are shifted already: labels[b, t] is what follows token t. IGNORED ones count nothing.
    NaN where a logit is not finite.
    `group`: the processes that share the vocabulary; None: the logits are whole.
    """
    if group is not None:
        return parallel_summed_loss(logits, labels, group, IGNORED)
    rows = logits.reshape([-1, logits.shape[-1]]).astype("float32")
    loss = F.cross_entropy(rows, labels.reshape([-1]), reduction="sum", ignore_index=IGNORED)
    # On a CPU Paddle gives the loss of equal logits where they are NaN or infinite.
    return loss + rows.detach().sum() * 0.0


def hits(logits: paddle.Tensor, labels: paddle.Tensor, group: Any = None) -> int:
    """How many labels that count are the most likely token."""
    if group is not None:
        return parallel_hits(logits, labels, group, IGNORED)
    flat = labels.reshape([-1])
    guess = paddle.argmax(logits.reshape([-1, logits.shape[-1]]).astype("float32"), axis=-1)
    right = (guess == flat) & (flat != IGNORED)
    return int(right.astype("int64").sum())


def trained_tokens(labels: np.ndarray) -> int:
    """How many labels count."""
    return int(np.count_nonzero(labels != IGNORED))
