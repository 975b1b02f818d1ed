"""Mixture of experts: which experts a token visits, and the weighted sum of what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from llm_kernels.reference.activations import sigmoid, softmax


def route(
    logits: np.ndarray,
    count: int,
    *,
    renormalize: bool,
    scores: Literal["softmax", "sigmoid"] = "softmax",
    correction: np.ndarray | None = None,
    groups: int = 1,
    open_groups: int = 1,
    best: int = 1,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Top experts of each token: router logits [T, X] -> experts int [T, k], weights f32 [T, k].

    `scores` over all X experts come first; `renormalize` makes the k weights sum to one, and
    `scale` multiplies them. `correction` [X] is added for the choice only. With `groups` > 1 of
    neighbouring experts, those outside the best `open_groups` count as 0 in the choice; a group is
    as good as the sum of its `best` experts (DeepSeek-V2, arXiv:2405.04434, section 2.2.2). Of
    equal experts the lower index wins.
    """
    shares = softmax(logits) if scores == "softmax" else sigmoid(logits)
    choice = shares if correction is None else shares + correction.astype(np.float32)
    if groups > 1:
        grouped = choice.reshape(len(choice), groups, -1)
        worth = np.sort(grouped, axis=-1)[..., -best:].sum(-1)
        closed = np.argsort(-worth, axis=-1, kind="stable")[:, open_groups:]
        grouped = grouped.copy()
        np.put_along_axis(grouped, closed[..., None], np.float32(0), axis=1)
        choice = grouped.reshape(choice.shape)
    experts = np.argsort(-choice, axis=-1, kind="stable")[:, :count]
    weights = np.take_along_axis(shares, experts, axis=-1)
    if renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return experts, weights * np.float32(scale)


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
