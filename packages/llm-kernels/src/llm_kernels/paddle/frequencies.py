"""Inverse frequencies of a rotary embedding."""

from __future__ import annotations

import numpy as np

from llm_kernels.errors import UnsupportedSpecError
from llm_kernels.families import LinearScaling, Rope, Sizes


def rope_frequencies(rope: Rope, sizes: Sizes, context: int) -> tuple[np.ndarray, float]:  # noqa: ARG001
    """float64 [d/2] and the factor of cos and sin, for a sequence of `context` tokens."""
    width = int(sizes.head_dim * rope.fraction) // rope.channels
    frequencies = sizes.theta ** (-np.arange(0, width, 2) / width)
    if isinstance(sizes.rope_scaling, LinearScaling):
        frequencies = frequencies / sizes.rope_scaling.factor
    elif sizes.rope_scaling is not None:
        message = f"rope scaling {sizes.rope_scaling} is not known to the Paddle decoder."
        raise UnsupportedSpecError(message)
    return frequencies, 1.0
