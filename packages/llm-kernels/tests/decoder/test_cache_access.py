"""Blocks that are copied, and keys and values written from elsewhere, are read like any others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.errors import ShapeError
from llm_kernels.reference_decoder import KvCache, forward


def decoder(model: Any, num_blocks: int = 6) -> NativeDecoder:
    return NativeDecoder(
        model.spec,
        model.sizes,
        model.parameters.__getitem__,
        num_blocks=num_blocks,
        block_size=16,
        threads=1,
    )


def batch(tokens: list[int], start: int, blocks: list[int]) -> StepBatch:
    def int32(values: Any) -> np.ndarray:
        return np.array(values, np.int32)

    return StepBatch(
        token_ids=int32(tokens),
        positions=int32(range(start, start + len(tokens))),
        query_start=int32([0, len(tokens)]),
        context_length=int32([start + len(tokens)]),
        block_tables=int32([blocks]),
        logits_rows=int32([len(tokens) - 1]),
    )


@pytest.mark.parametrize("family", ["llama", "bloom", "gemma2"])
def test_a_copied_block_continues_on_its_own(random_model: Callable[..., Any], family: str) -> None:
    model = random_model(family)
    native = decoder(model)
    prompt = list(range(1, 21))
    native.step(batch(prompt, 0, [0, 1]))
    native.copy_blocks([(1, 3), (3, 4)])
    answers = [native.step(batch([token], 20, [0, own])) for token, own in ((5, 1), (6, 3), (7, 4))]
    for token, logits in zip((5, 6, 7), answers, strict=True):
        alone = decoder(model)
        alone.step(batch(prompt, 0, [0, 1]))
        np.testing.assert_array_equal(logits, alone.step(batch([token], 20, [0, 1])))


@pytest.mark.parametrize("ahead", [5, 16, 23])
def test_keys_and_values_from_elsewhere_are_seen(
    random_model: Callable[..., Any], ahead: int
) -> None:
    model = random_model("llama")
    random = np.random.default_rng(ahead)
    shape = (ahead, model.sizes.kv_heads, model.sizes.head_dim)
    native, cache = decoder(model), KvCache(length=ahead)
    table = [4, 2, 5]
    slots = np.array([table[i // 16] * 16 + i % 16 for i in range(ahead)], np.int32)
    for layer in range(model.sizes.layers):
        keys, values = (random.standard_normal(shape).astype(np.float32) for _ in range(2))
        native.write_cache(layer, slots, keys, values)
        cache.extend(layer, keys, values)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6]
    expected = forward(model.spec, model.sizes, model.parameters, tokens, cache=cache)
    found = native.step(batch(tokens, ahead, table))
    np.testing.assert_allclose(found[0], expected[-1], rtol=1e-4, atol=1e-4)


def test_what_is_not_there_is_refused(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    native = decoder(model)
    keys = np.zeros((1, model.sizes.kv_heads, model.sizes.head_dim), np.float32)
    for copies in ([(0, 6)], [(-1, 0)]):
        with pytest.raises(ShapeError, match=r"Block .* the cache has 0 to 5"):
            native.copy_blocks(copies)
    with pytest.raises(ShapeError, match="Slot 96"):
        native.write_cache(0, np.array([96], np.int32), keys, keys)
    with pytest.raises(ShapeError, match="Layer 2"):
        native.write_cache(2, np.array([0], np.int32), keys, keys)
    with pytest.raises(ShapeError, match="keys"):
        native.write_cache(0, np.array([0], np.int32), keys[:, :1], keys)
    native.copy_blocks([])
