"""How far two sets of logits are from each other."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Rows compared at a time: a row of float64 logits takes 8 V bytes, several times over.
_ROWS = 32


@dataclass(frozen=True)
class Comparison:
    """What comparing logits [T, V] with those wanted found.

    max_abs_diff: largest difference of a logit. max_abs_logit: largest logit wanted, to relate it
    to. mean_kl: mean over tokens of KL(wanted || found), nats. top1_agreement: share of tokens
    whose likeliest successor is the same. Logits that are not finite make the differences NaN.
    """

    tokens: int
    max_abs_diff: float
    max_abs_logit: float
    mean_kl: float
    top1_agreement: float

    def content(self) -> dict[str, Any]:
        """The comparison as JSON holds it; null for what is not finite."""
        return finite(asdict(self))


def compare(wanted: np.ndarray, found: np.ndarray) -> Comparison:
    """Measure `found` against `wanted`, both [T, V] with T above 0."""
    assert wanted.shape == found.shape, (wanted.shape, found.shape)
    assert len(wanted), "nothing to compare"
    difference, largest, divergence, agreeing = 0.0, 0.0, 0.0, 0
    for start in range(0, len(wanted), _ROWS):
        one = wanted[start : start + _ROWS].astype(np.float64)
        other = found[start : start + _ROWS].astype(np.float64)
        # np.maximum keeps a NaN where Python's max may drop it.
        with np.errstate(invalid="ignore"):
            difference = float(np.maximum(difference, np.abs(other - one).max()))
            largest = float(np.maximum(largest, np.abs(one).max()))
            log_one, log_other = _log_softmax(one), _log_softmax(other)
            divergence += float((np.exp(log_one) * (log_one - log_other)).sum())
        agreeing += int((one.argmax(-1) == other.argmax(-1)).sum())
    count = len(wanted)
    return Comparison(count, difference, largest, divergence / count, agreeing / count)


def finite(content: dict[str, Any]) -> dict[str, Any]:
    """`content` with null for numbers that JSON cannot hold."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
