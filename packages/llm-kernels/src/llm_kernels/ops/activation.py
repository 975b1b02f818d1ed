"""Activations of an MLP, plain or gated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llm_kernels.families import Activation
from llm_kernels.native import extension, resolve

CODES: dict[Activation, int] = {"silu": 0, "gelu": 1, "gelu_tanh": 2, "relu": 3}
"""The number that the native code knows each activation by."""


def activation(
    kind: Activation,
    x: npt.NDArray[np.float32],
    up: npt.NDArray[np.float32] | None = None,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """activation(x), or activation(x) * up (Shazeer 2020, arXiv:2002.05202).

    x and up [T, M], float32. Returns float32 [T, M].
    """
    if kind not in CODES:
        message = f"The activation {kind!r} is not known; choose one of {', '.join(CODES)}."
        raise ValueError(message)
    out: npt.NDArray[np.float32] = extension().activation(
        CODES[kind], x, up, *resolve(isa, threads)
    )
    return out
