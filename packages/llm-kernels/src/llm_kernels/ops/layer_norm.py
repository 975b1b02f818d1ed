"""Layer norm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve


def layer_norm(
    x: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None,
    eps: float,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """(x - mean) / sqrt(variance + eps) * weight + bias (Ba et al. 2016, arXiv:1607.06450).

    x [T, E], weight [E], bias [E] or None, all float32. Returns float32 [T, E].
    """
    out: npt.NDArray[np.float32] = extension().layer_norm(
        x, weight, bias, eps, *resolve(isa, threads)
    )
    return out
