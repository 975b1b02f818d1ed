"""The decoders that can be asked for logits, behind one question: the next tokens of a sequence.

    session = sessions("native", model, longest=64)()      # one a sequence
    logits = session(prompt, positions, prefix)            # float32 [T, V]
    logits = session(token, positions, 0)                  # and on, with its cache

Paddle is imported only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from llm_convert.model import Model

Session: TypeAlias = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(tokens int [T], positions int [1 or 2, T], prefix length) -> logits float32 [T, V]."""
Sessions: TypeAlias = Callable[[], Session]

_BLOCK = 64


def sessions(decoder: str, model: Model, longest: int) -> Sessions:
    """What begins a sequence of up to `longest` tokens on one of DECODERS.

    Raises llm-kernels' errors for a model that the decoder cannot run.
    """
    return DECODERS[decoder](model, longest)


def _reference(model: Model, longest: int) -> Sessions:  # noqa: ARG001 - as the others
    from llm_kernels.reference_decoder import KvCache, forward

    def begin() -> Session:
        cache = KvCache()

        def logits(tokens: np.ndarray, positions: np.ndarray, prefix: int) -> np.ndarray:
            return forward(
                model.spec,
                model.sizes,
                model.weight,
                tokens,
                positions=positions,
                prefix=prefix,
                cache=cache,
            )

        return logits

    return begin


def _native(model: Model, longest: int) -> Sessions:
    from llm_kernels.decoder import NativeDecoder, StepBatch

    blocks = -(-longest // _BLOCK)
    decoder = NativeDecoder(
        model.spec,
        model.sizes,
        model.weight,
        num_blocks=blocks,
        block_size=_BLOCK,
        max_batch_tokens=longest,
    )

    def begin() -> Session:
        done = 0
        first_prefix = 0

        def logits(tokens: np.ndarray, positions: np.ndarray, prefix: int) -> np.ndarray:
            nonlocal done, first_prefix
            first_prefix = first_prefix or prefix
            done += len(tokens)
            two = len(positions) == 2
            places = positions.astype(np.int32)
            return decoder.step(
                StepBatch(
                    token_ids=tokens.astype(np.int32),
                    positions=np.ascontiguousarray(places[0]),
                    block_positions=np.ascontiguousarray(places[1]) if two else None,
                    query_start=np.array([0, len(tokens)], np.int32),
                    context_length=np.array([done], np.int32),
                    prefix_length=np.array([first_prefix], np.int32) if two else None,
                    block_tables=np.arange(blocks, dtype=np.int32)[None],
                    logits_rows=np.arange(len(tokens), dtype=np.int32),
                )
            )

        return logits

    return begin


def _paddle(model: Model, longest: int) -> Sessions:  # noqa: ARG001 - as the others
    from llm_kernels.paddle.environment import prepare

    try:
        prepare()
        from llm_convert.verify.paddle_sessions import paddle_sessions
    except ImportError as error:
        from llm_convert.errors import ConvertError

        message = (
            f"The Paddle decoder needs PaddlePaddle ({error}). Install it, or choose --decoder "
            "reference."
        )
        raise ConvertError(message) from error
    return paddle_sessions(model)


DECODERS: Mapping[str, Callable[[Model, int], Sessions]] = MappingProxyType(
    {"reference": _reference, "paddle": _paddle, "native": _native}
)
