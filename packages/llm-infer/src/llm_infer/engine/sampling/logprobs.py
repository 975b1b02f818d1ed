"""Log probabilities of tokens: of those that were chosen, and the likeliest ones beside them.

They are the model's own, log_softmax(logits) in float64, before penalties, temperature and filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The log probability of one token, and of the likeliest ones in its place."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """(token id, log probability), the likeliest first."""


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log(softmax) of the last axis, float64, of float32 [..., V]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def token_logprobs(
    logits: NDArray[np.float32], token_ids: Sequence[int], counts: Sequence[int]
) -> list[Logprobs]:
    """Of each row of `logits` [R, V], the logprob of its token and of its `counts` likeliest."""
    rows = log_softmax(logits)
    found = []
    for row, token_id, count in zip(rows, token_ids, counts, strict=True):
        ids = _likeliest(row, min(count, len(row)))
        top = tuple(zip(ids.tolist(), row[ids].tolist(), strict=True))
        found.append(Logprobs(token_id, float(row[token_id]), top))
    return found


def _likeliest(row: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The `count` largest of a row, in descending order, ties by id."""
    if count == 0:
        return np.zeros(0, np.intp)
    ids = np.argpartition(row, len(row) - count)[len(row) - count :]
    return ids[np.lexsort((ids, -row[ids]))]
