"""Rotary position embedding from tables."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve


def rope(
    x: npt.NDArray[np.float32],
    cos: npt.NDArray[np.float32],
    sin: npt.NDArray[np.float32],
    pairing: Literal["half", "interleaved"] = "half",
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Rotate the first R dimensions of every head (Su et al. 2021, arXiv:2104.09864).

    x [T, H, D], cos and sin [T, R/2] with R <= D, all float32. `half` rotates dimensions
    (i, i + R/2) together, `interleaved` (2i, 2i + 1). Returns float32 [T, H, D].
    """
    if pairing not in ("half", "interleaved"):
        message = f"The pairing {pairing!r} is not known; choose half or interleaved."
        raise ValueError(message)
    out: npt.NDArray[np.float32] = extension().rope(
        x, cos, sin, pairing == "interleaved", *resolve(isa, threads)
    )
    return out
