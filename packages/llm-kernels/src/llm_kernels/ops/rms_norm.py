"""Root mean square norm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve


def rms_norm(
    x: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    eps: float,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019, arXiv:1910.07467).

    x [T, E], weight [E], both float32. Returns float32 [T, E].
    """
    out: npt.NDArray[np.float32] = extension().rms_norm(x, weight, eps, *resolve(isa, threads))
    return out
