"""A step of more rows than are computed at once gives what several short steps give, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import ParameterKey

COUNT, BLOCK = 1700, 64
BLOCKS = -(-COUNT // BLOCK)


def batch(ids: np.ndarray, begin: int, end: int, adapter: int | None) -> StepBatch:
    return StepBatch(
        token_ids=ids[begin:end],
        positions=np.arange(begin, end, dtype=np.int32),
        query_start=np.array([0, end - begin], np.int32),
        context_length=np.array([end], np.int32),
        block_tables=np.arange(BLOCKS, dtype=np.int32)[None],
        logits_rows=np.arange(end - begin, dtype=np.int32),
        adapters=None if adapter is None else np.array([adapter], np.int32),
    )


@pytest.mark.parametrize("adapter", [None, 0])
@pytest.mark.parametrize("family", ["llama", "qwen2-moe"])
def test_rows_do_not_depend_on_how_many_come_at_once(
    random_model: Callable[..., Any], family: str, adapter: int | None
) -> None:
    model = random_model(family, seed=3, max_positions=2048)
    rng = np.random.default_rng(4)
    ids = rng.integers(0, model.sizes.vocab, COUNT).astype(np.int32)
    logits = []
    for longest in (COUNT, 500):
        decoder = NativeDecoder(
            model.spec,
            model.sizes,
            model.parameters.__getitem__,
            num_blocks=BLOCKS,
            block_size=BLOCK,
            max_batch_tokens=longest,
            threads=2,
        )
        if adapter is not None:
            key = ParameterKey("out", 0)
            outputs, inputs = model.parameters[key].shape
            rng = np.random.default_rng(5)
            a = rng.standard_normal((4, inputs), np.float32) / 9
            b = rng.standard_normal((4, outputs), np.float32) / 9
            decoder.add_adapter(adapter, key, a, b)
        steps = [
            decoder.step(batch(ids, begin, min(begin + longest, COUNT), adapter))
            for begin in range(0, COUNT, longest)
        ]
        logits.append(np.concatenate(steps))
    np.testing.assert_array_equal(*logits)
