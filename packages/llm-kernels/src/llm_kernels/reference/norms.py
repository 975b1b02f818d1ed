"""Norms over the last axis; sums in float64."""

from __future__ import annotations

import numpy as np


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """Root mean square norm (Zhang and Sennrich 2019, arXiv:1910.07467).

    x [..., E], weight [E] -> [..., E], float32.
    """
    wide = x.astype(np.float64)
    scale = 1 / np.sqrt((wide * wide).mean(-1, keepdims=True) + eps)
    return (wide * scale * weight.astype(np.float64)).astype(np.float32)


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """Layer norm (Ba et al. 2016, arXiv:1607.06450).

    x [..., E], weight and bias [E] -> [..., E], float32.
    """
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    normed = centred * scale * weight.astype(np.float64) + bias.astype(np.float64)
    return normed.astype(np.float32)


def unit_rows(weight: np.ndarray) -> np.ndarray:
    """The rows of weight [N, K] scaled to length one, float32: the head of Baichuan2.

    A row of zeros stays zeros.
    """
    wide = weight.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return (wide / np.maximum(length, 1e-12)).astype(np.float32)
