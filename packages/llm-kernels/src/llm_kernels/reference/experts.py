"""Mixture of experts: which experts a token visits, and the weighted sum of what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_kernels.reference.activations import softmax


def route(logits: np.ndarray, count: int, *, renormalize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Top experts of each token: router logits [T, X] -> experts int [T, k], weights f32 [T, k].

    Softmax over all X experts comes first; `renormalize` makes the k weights sum to one. Of equal
    logits the lower index wins.
    """
    shares = softmax(logits)
    experts = np.argsort(-shares, axis=-1, kind="stable")[:, :count]
    weights = np.take_along_axis(shares, experts, axis=-1)
    if renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return experts, weights


def mix_experts(
    x: np.ndarray,
    experts: np.ndarray,
    weights: np.ndarray,
    expert: Callable[[int, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Weighted sum of the experts' outputs: x [T, E], experts and weights [T, k] -> [T, E].

    `expert(index, rows [n, E]) -> [n, E]` runs once for each expert that has tokens, on all of
    them.
    """
    mixed = np.zeros_like(x)
    for index in np.unique(experts):
        tokens, place = np.nonzero(experts == index)
        mixed[tokens] += weights[tokens, place, None] * expert(int(index), x[tokens])
    return mixed
