"""Tensor parallelism of canonical parameters: which axis is split, one rank's share, and the merge.

Heads are never cut: q, k and v are split by whole heads, and where there are fewer KV heads than
ranks, neighbouring ranks hold the same one. Biases of row-split linears belong to rank 0, the
others hold zeros, so that the sum over the ranks adds them once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_kernels.errors import ShapeError
from llm_kernels.families.parameters import ParameterKey
from llm_kernels.families.sizes import Sizes
from llm_kernels.families.slots import SLOTS


def tensor_parallel_axis(key: ParameterKey, sizes: Sizes, degree: int) -> int | None:
    """The axis of the canonical parameter that `degree` ranks split; None: all hold the whole.

    Vocabulary rows that `degree` does not divide stay whole. Raises ShapeError for heads or widths
    that it does not divide.
    """
    split = SLOTS[key.slot].split
    if degree == 1 or split == "replicated" or (split == "row" and key.leaf == "bias"):
        return None
    if split == "vocab" or key.slot == "head":
        return None if sizes.vocab % degree else 0
    _check(key, sizes, degree)
    return 0 if split == "column" else 1


def shard(
    key: ParameterKey, value: np.ndarray, sizes: Sizes, *, rank: int, degree: int
) -> np.ndarray:
    """The share of `rank` (0-based) of `degree` ranks: a view of `value` where possible.

    Raises ShapeError for heads or widths that `degree` does not divide.
    """
    axis = tensor_parallel_axis(key, sizes, degree)
    if axis is None:
        partial = SLOTS[key.slot].split == "row" and key.leaf == "bias" and rank > 0
        return np.zeros_like(value) if partial else value
    if key.slot in ("k", "v") and sizes.kv_heads < degree:
        rank, degree = rank * sizes.kv_heads // degree, sizes.kv_heads
    return np.split(value, degree, axis=axis)[rank]


def merge(key: ParameterKey, shares: Sequence[np.ndarray], sizes: Sizes) -> np.ndarray:
    """The whole parameter from the shares of all ranks, in rank order; inverse of `shard`."""
    degree = len(shares)
    axis = tensor_parallel_axis(key, sizes, degree)
    if axis is None:
        return shares[0]
    if key.slot in ("k", "v") and sizes.kv_heads < degree:
        shares = shares[:: degree // sizes.kv_heads]
    return np.concatenate(list(shares), axis=axis)


def _check(key: ParameterKey, sizes: Sizes, degree: int) -> None:
    if key.slot in ("q", "q_up", "kv_up", "out"):
        name, number = "heads", sizes.heads
    elif key.slot in ("k", "v"):
        name, number = "kv_heads", sizes.kv_heads
        if number < degree and degree % number == 0:
            return
    elif key.expert is not None:
        name, number = "expert_mlp", sizes.expert_mlp
    elif key.slot.startswith("shared_"):
        name, number = "shared_mlp", sizes.shared_mlp
    else:
        name, number = "mlp", sizes.mlp
    if number % degree:
        message = (
            f"{key.name}: {name} is {number}, which {degree} ranks cannot share evenly. "
            f"Choose a tensor parallel degree that divides {number}."
        )
        raise ShapeError(message)
