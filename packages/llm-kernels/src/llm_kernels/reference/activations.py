"""Activations and softmax, float32 in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, pi, sqrt
from types import MappingProxyType

import numpy as np

from llm_kernels.families import Activation

_erf = np.vectorize(erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow: any shape, float32."""
    return (0.5 * (1 + np.tanh(0.5 * x.astype(np.float64)))).astype(np.float32)


def silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x) (Elfwing et al. 2017, arXiv:1702.03118): any shape, float32."""
    return x * sigmoid(x)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0): any shape, float32."""
    return np.maximum(x, np.float32(0))


def gelu(x: np.ndarray) -> np.ndarray:
    """x * Phi(x) with the error function (arXiv:1606.08415): any shape, float32."""
    wide = x.astype(np.float64)
    return (0.5 * wide * (1 + _erf(wide / sqrt(2)))).astype(np.float32)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The tanh approximation of gelu (arXiv:1606.08415): any shape, float32."""
    wide = x.astype(np.float64)
    inner = sqrt(2 / pi) * (wide + 0.044715 * wide * wide * wide)
    return (0.5 * wide * (1 + np.tanh(inner))).astype(np.float32)


ACTIVATIONS: Mapping[Activation, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"silu": silu, "relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh}
)


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) over its sum along the last axis, sums in float64: any shape, float32.

    -inf gives zero; a row of only -inf gives zeros.
    """
    peak = x.max(axis=-1, keepdims=True)
    powers = np.exp(x.astype(np.float64) - np.where(np.isfinite(peak), peak, 0))
    total = powers.sum(axis=-1, keepdims=True)
    return (powers / np.where(total > 0, total, 1)).astype(np.float32)
