"""Sequences on the Paddle decoder (see `decoders`); importing this module imports paddle."""

from __future__ import annotations

import numpy as np
import paddle

from llm_convert.model import Model
from llm_convert.verify.decoders import Session, Sessions
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters


def paddle_sessions(model: Model) -> Sessions:
    """What begins a sequence, in float32 on the CPU."""
    paddle.set_device("cpu")
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.dense)
    decoder.eval()

    def begin() -> Session:
        cache = KeyValueCache()
        first_prefix = 0

        def logits(tokens: np.ndarray, positions: np.ndarray, prefix: int) -> np.ndarray:
            nonlocal first_prefix
            first_prefix = first_prefix or prefix
            places = positions if len(positions) == 2 else positions[0]
            with paddle.no_grad():
                found = decoder(
                    paddle.to_tensor(tokens[None].astype(np.int64)),
                    position_ids=paddle.to_tensor(places[None].astype(np.int64)),
                    cache=cache,
                    prefix=paddle.to_tensor([first_prefix]) if first_prefix else None,
                )
            return np.asarray(found[0].numpy())

        return logits

    return begin
