"""Which tokens may be drawn, and with what weight: temperature, top_k, top_p, min_p, in this order.

Only as many tokens are sorted as are needed to know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.params import SamplingParams

Logits = NDArray[np.float32]

_NUCLEUS_GUESS = 1024
"""Likeliest tokens among which a nucleus is looked for before all of V is sorted."""


def distribution(
    logits: Logits, params: SamplingParams
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Tokens [C] that the filters leave of one row, float32 [V], and weights up to a factor.

    The weights are softmax(logits / temperature). Nucleus sampling: arXiv:1904.09751; min_p, which
    keeps what is at least that share of the likeliest token's probability: arXiv:2407.01082.
    """
    candidates, weights = _nucleus(logits, params)
    if params.min_p:
        kept = weights >= params.min_p * weights.max()
        candidates, weights = candidates[kept], weights[kept]
    return candidates, weights


def _nucleus(
    logits: Logits, params: SamplingParams
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    size = len(logits)
    keep = min(params.top_k or size, size)
    if keep < size:
        candidates = _likeliest(logits, keep)
        weights = _weights(logits, logits[candidates], params.temperature)
        return _shortest(candidates, weights, params.top_p, total=None)
    weights = _weights(logits, logits, params.temperature)
    if params.top_p >= 1:
        return np.arange(size), weights
    total = float(weights.sum())
    guess = _likeliest(logits, min(_NUCLEUS_GUESS, size))
    if weights[guess].sum() < params.top_p * total:
        guess = _likeliest(logits, size)
    return _shortest(guess, weights[guess], params.top_p, total)


def _weights(logits: Logits, chosen: Logits, temperature: float) -> NDArray[np.float64]:
    """exp(logits / temperature) of `chosen`, the likeliest of all `logits` being 1."""
    scaled = chosen.astype(np.float64)
    # Before the division, which overflows for logits of a thousand and a tiny temperature.
    scaled -= float(logits.max())
    scaled /= temperature
    return np.exp(scaled, out=scaled)


def _likeliest(logits: Logits, count: int) -> NDArray[np.intp]:
    """The `count` largest, in descending order, ties by id."""
    size = len(logits)
    kept = np.argpartition(logits, size - count)[size - count :] if count < size else None
    ids = np.arange(size) if kept is None else kept
    return ids[np.lexsort((ids, -logits[ids]))]


def _shortest(
    ordered: NDArray[np.intp], weights: NDArray[np.float64], top_p: float, total: float | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The shortest beginning of `ordered` whose weight reaches `top_p` of `total`."""
    if top_p >= 1:
        return ordered, weights
    bounds = np.cumsum(weights)
    count = int(np.searchsorted(bounds, top_p * (total or bounds[-1]))) + 1
    return ordered[:count], weights[:count]
