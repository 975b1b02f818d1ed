"""A decoder's cache in each dtype, beside the reference's decoder with the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels.cache_layout import CacheScales
from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.errors import KernelsError
from llm_kernels.native import runnable_isas
from llm_kernels.reference_decoder import KvCache, forward

TOKENS = np.array([3, 40, 7, 7, 19, 0, 22, 31, 5, 11, 2, 38, 9, 1, 1, 25, 30, 8], np.int32)
DTYPES = ["bfloat16", "int8-static", "int8-dynamic"]
# The native keys differ from the reference's in the last bits, so that some number may be rounded
# to the neighbouring code: that moves logits by a part of what the dtype itself does.
TOLERANCE = 0.01


def options(model: Any, dtype: str) -> dict[str, Any]:
    shape = (model.sizes.layers, model.sizes.kv_heads)
    given = CacheScales(np.full(shape, 0.03, np.float32), np.full(shape, 0.02, np.float32))
    name, _, kind = dtype.partition("-")
    return {"cache_dtype": name, "cache_scales": given if kind == "static" else None}


def native(model: Any, isa: str | None = None, **cache: Any) -> NativeDecoder:
    return NativeDecoder(
        model.spec,
        model.sizes,
        model.parameters.__getitem__,
        num_blocks=4,
        block_size=16,
        threads=2,
        isa=isa,
        **cache,
    )


def batch(begin: int, end: int, blocks: tuple[int, ...] = (2, 0)) -> StepBatch:
    return StepBatch(
        token_ids=TOKENS[begin:end],
        positions=np.arange(begin, end, dtype=np.int32),
        query_start=np.array([0, end - begin], np.int32),
        context_length=np.array([end], np.int32),
        block_tables=np.array([blocks], np.int32),
        logits_rows=np.arange(end - begin, dtype=np.int32),
    )


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", ["llama", "bloom", "deepseek-v2-lite"])
def test_equals_the_reference_and_itself_in_chunks(
    random_model: Callable[..., Any], family: str, dtype: str, isa: str
) -> None:
    model = random_model(family, seed=3)
    kept = options(model, dtype)
    decoder = native(model, isa, **kept)
    whole = decoder.step(batch(0, 18))
    cache = KvCache(dtype=kept["cache_dtype"], scales=kept["cache_scales"])
    expected = forward(model.spec, model.sizes, model.parameters, TOKENS, cache=cache)
    exact = forward(model.spec, model.sizes, model.parameters, TOKENS)
    spread = np.abs(expected).max()
    assert np.abs(whole - expected).max() < TOLERANCE * spread
    assert 1e-4 * spread < np.abs(whole - exact).max()  # the dtype is seen
    chunks = [decoder.step(batch(*span)) for span in ((0, 5), (5, 6), (6, 18))]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copied_and_written_blocks(random_model: Callable[..., Any], dtype: str) -> None:
    model = random_model("llama", seed=4)
    kept = options(model, dtype)
    decoder = native(model, **kept)
    whole = decoder.step(batch(0, 18))
    decoder.copy_blocks([(0, 3), (2, 1)])
    np.testing.assert_array_equal(decoder.step(batch(17, 18, (1, 3))), whole[17:])
    cache = KvCache(dtype=kept["cache_dtype"], scales=kept["cache_scales"], length=2)
    keys, values = np.random.default_rng(1).standard_normal((2, 2, 2, 8)).astype(np.float32)
    for layer in range(model.sizes.layers):
        decoder.write_cache(layer, np.array([32, 33], np.int32), keys, values)
        cache.extend(layer, keys, values)
    expected = forward(model.spec, model.sizes, model.parameters, TOKENS[2:6], cache=cache)
    found = decoder.step(batch(2, 6))
    assert np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_its_bytes(random_model: Callable[..., Any], dtype: str) -> None:
    model = random_model("llama")
    kept = options(model, dtype)
    each = NativeDecoder.cache_bytes_per_block(
        model.spec, model.sizes, 16, kept["cache_dtype"], kept["cache_scales"]
    )
    assert native(model, **kept).cache_bytes == 4 * each


def test_another_dtype_is_refused(random_model: Callable[..., Any]) -> None:
    with pytest.raises(KernelsError, match="'float16'; choose one of float32, bfloat16, int8"):
        native(random_model("llama"), cache_dtype="float16")
