"""The linear layer, over plain and over quantized weights."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np


@runtime_checkable
class Quantized(Protocol):
    """A packed weight; `Int4Weight` and `Int8Weight` of `llm_kernels.weights` are such."""

    def dequantize(self) -> np.ndarray:
        """The weight [N, K] as float32."""


Weight: TypeAlias = "np.ndarray | Quantized"


def dense(weight: Weight) -> np.ndarray:
    """The weight as a float32 array [N, K], whatever it is held as."""
    values = weight if isinstance(weight, np.ndarray) else weight.dequantize()
    return values.astype(np.float32, copy=False)


def linear(x: np.ndarray, weight: Weight, bias: np.ndarray | None = None) -> np.ndarray:
    """`x @ weight.T + bias`: x [..., K], weight [N, K], bias [N] -> [..., N], float32."""
    product = x.astype(np.float32, copy=False) @ dense(weight).T
    return product if bias is None else product + bias.astype(np.float32, copy=False)
