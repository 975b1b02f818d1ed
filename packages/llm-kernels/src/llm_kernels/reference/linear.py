"""The linear layer, over plain and over quantized weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np


@runtime_checkable
class Quantized(Protocol):
    """A packed weight; those of `llm_kernels.weights` are such."""

    def dequantize(self) -> np.ndarray:
        """The weight [N, K] as float32."""


_BLOCK_NUMBERS = 1 << 21
Weight: TypeAlias = "np.ndarray | Quantized"


@runtime_checkable
class Projecting(Protocol):
    """A weight that does more with its inputs than a product: an adapter, or rounding."""

    def project(self, x: np.ndarray) -> np.ndarray:
        """x [..., K] -> [..., N]."""


@dataclass(frozen=True)
class Adapted:
    """A weight with a LoRA adapter that is not merged: `x W.T + scaling (x A) B`.

    `base` [N, K], `a` [K, r], `b` [r, N] (Hu et al. 2021, https://arxiv.org/abs/2106.09685). A
    `Quantized`, so that it can stand wherever a weight can.
    """

    base: Weight
    a: np.ndarray
    b: np.ndarray
    scaling: float

    def dequantize(self) -> np.ndarray:
        """The merged weight [N, K] as float32."""
        return dense(self.base) + np.float32(self.scaling) * (dense(self.a) @ dense(self.b)).T

    def project(self, x: np.ndarray) -> np.ndarray:
        """`x` [..., K] -> [..., N], through the two small matrices."""
        detour = (x @ dense(self.a)) @ dense(self.b)
        return linear(x, self.base) + np.float32(self.scaling) * detour


def dense(weight: Weight) -> np.ndarray:
    """The weight as a float32 array [N, K], whatever it is held as."""
    values = weight if isinstance(weight, np.ndarray) else weight.dequantize()
    return values.astype(np.float32, copy=False)


def linear(x: np.ndarray, weight: Weight, bias: np.ndarray | None = None) -> np.ndarray:
    """`x @ weight.T + bias`: x [..., K], weight [N, K], bias [N] -> [..., N], float32."""
    x = x.astype(np.float32, copy=False)
    if isinstance(weight, Projecting):
        product = weight.project(x)
    elif isinstance(weight, np.ndarray):
        product = _product(x, weight)
    else:
        product = x @ dense(weight).T
    return product if bias is None else product + bias.astype(np.float32, copy=False)


def _product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`x @ weight.T`, with no more than _BLOCK_NUMBERS of the weight in float32 beside it."""
    if weight.dtype == np.float32 or weight.size <= _BLOCK_NUMBERS:
        return np.asarray(x @ dense(weight).T)
    out = np.empty((*x.shape[:-1], len(weight)), np.float32)
    rows = max(1, _BLOCK_NUMBERS // weight.shape[1])
    for start in range(0, len(weight), rows):
        place = slice(start, start + rows)
        out[..., place] = x @ dense(weight[place]).T
    return out
