"""Noise on embeddings: bounded as the paper says, and only while training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import paddle

from llm_train.model import build_model
from llm_train.model.neftune import add_noise


def test_noise_is_uniform_within_alpha_by_tokens_and_width(golden: Path) -> None:
    decoder = build_model(golden / "llama_v2_gqa").decoder
    ids = paddle.to_tensor(np.random.default_rng(1).integers(0, 256, (6, 50)))
    decoder.eval()
    plain = decoder.embed(ids).numpy()
    add_noise(decoder, 5.0)
    np.testing.assert_array_equal(decoder.embed(ids).numpy(), plain)
    decoder.train()
    paddle.seed(3)
    noise = decoder.embed(ids).numpy() - plain
    # One sample has 50 tokens of 64 channels, whatever the batch.
    bound = 5.0 / math.sqrt(50 * 64)
    assert np.abs(noise).max() <= bound * (1 + 1e-5)
    np.testing.assert_allclose(noise.std(), bound / math.sqrt(3), rtol=0.03)
    assert abs(noise.mean()) < 0.02 * bound
