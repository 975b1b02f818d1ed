"""A weight plus a product of low rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike


def merge_low_rank(
    w: np.ndarray, b: np.ndarray, a: np.ndarray, scale: float = 1.0, dtype: DTypeLike = None
) -> np.ndarray:
    """W + scale * (B A): w [N, K], b [N, r], a [r, K] -> [N, K] of `dtype`, by default that of w.

    Sums in float64 and rounds to float32, then once to the type.
    """
    product = b.astype(np.float64) @ a.astype(np.float64)
    total = (w.astype(np.float64) + float(np.float32(scale)) * product).astype(np.float32)
    return total.astype(w.dtype if dtype is None else dtype)
