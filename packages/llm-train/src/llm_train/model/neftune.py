"""Noise on embeddings while training (NEFTune, Jain et al. 2023, arXiv:2310.05914)."""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle import nn

from llm_kernels.paddle.decoder import Decoder


def add_noise(decoder: Decoder, alpha: float) -> None:
    """From now on training adds uniform noise in +-alpha / sqrt(T E) to embeddings [B, T, E].

    T and E are of one sample, as in the paper; evaluation stays as it is. A later part of a
    pipeline has no embedding and adds nothing.
    """

    def noisy(layer: nn.Layer, _: Any, embedded: paddle.Tensor) -> paddle.Tensor:
        if not layer.training:
            return embedded
        _, tokens, width = embedded.shape
        bound = alpha / math.sqrt(tokens * width)
        return embedded + paddle.uniform(embedded.shape, embedded.dtype, -bound, bound)

    if decoder.first:
        decoder.embed.register_forward_post_hook(noisy)
