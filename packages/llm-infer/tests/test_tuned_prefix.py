"""Tuned prefixes: read from every kind of file, and seen by the tokens behind them."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_infer.engine import SamplingParams, TunedPrefix
from llm_infer.errors import InferError, PromptTooLongError, UnsupportedError
from llm_infer.load import AdapterPaths, Backend, CacheSettings, Scheduling, load_engine
from llm_infer.tuned_prefix import read_prefix
from llm_kernels.reference_decoder import KvCache, forward

GREEDY = SamplingParams(max_new_tokens=10, ignore_eos=True)


def caches(model, places, seed=0):
    """Random keys and values, [L, 2, G, P, D]."""
    sizes = model.sizes
    shape = (sizes.layers, 2, sizes.kv_heads, places, sizes.head_dim)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(model, given, prompt, count=10):
    """Greedy tokens of the reference decoder behind the keys and values `given`."""
    cache = KvCache(length=given.shape[3])
    for layer, (keys, values) in enumerate(given):
        cache.extend(layer, keys.transpose(1, 0, 2), values.transpose(1, 0, 2))
    get = model.dense
    logits = forward(model.spec, model.sizes, get, prompt, cache=cache)
    tokens = []
    for _ in range(count):
        tokens.append(int(logits[-1].argmax()))
        logits = forward(model.spec, model.sizes, get, tokens[-1:], cache=cache)
    return tokens


@pytest.mark.parametrize("family", ["llama_v2_gqa", "bloom", "gpt2", "mistral"])
@pytest.mark.parametrize("places", [5, 16, 37])
def test_tokens_behind_a_prefix(golden, make_harness, tmp_path, family, places):
    model = open_model(golden / family)
    given, other = caches(model, places), caches(model, 3, seed=1)
    np.save(tmp_path / "pre_caches.npy", given)
    np.save(tmp_path / "other.npy", other)
    engine = load_engine(
        golden / family,
        cache=CacheSettings(block_size=16, num_blocks=12),
        adapters=AdapterPaths(prefix_paths={"tuned": tmp_path, "other": tmp_path / "other.npy"}),
        scheduling=Scheduling(max_batch_tokens=12),
        backend=Backend(threads=1),
    )
    free = engine.stats().free_blocks
    prompts = [[5, 6, 7], list(range(9, 26))]
    for prompt in prompts:
        ids = [
            engine.add_request(prompt, SamplingParams(max_new_tokens=10, ignore_eos=True, prefix=p))
            for p in ("tuned", "other", None, "tuned")
        ]
        events = make_harness.run(engine)
        found = [[event.token_id for event in events[number]] for number in ids]
        tuned = expected(model, given, prompt)
        assert found[0] == found[3] == tuned
        assert found[1] == expected(model, other, prompt)
        assert found[2] == expected(model, given[:, :, :, :0], prompt)
        # ALiBi all but hides what is far from the answer.
        assert family == "bloom" or len({tuple(tokens) for tokens in found}) > 1
    stats = engine.stats()
    assert stats.free_blocks == free
    assert stats.num_blocks - free == -(-places // 16) + 1
    # The same prompts again begin with blocks that are known, but never with another prefix's.
    again = [
        engine.add_request(prompts[1], SamplingParams(max_new_tokens=10, ignore_eos=True, prefix=p))
        for p in ("tuned", "other")
    ]
    events = make_harness.run(engine)
    assert [[event.token_id for event in events[number]] for number in again] == [
        expected(model, given, prompts[1]),
        expected(model, other, prompts[1]),
    ]
    assert engine.stats().cached_tokens > 0


def test_the_paddle_decoder_sees_it_too(golden, make_harness, tmp_path):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    model = open_model(golden / "llama_v2_gqa")
    given = caches(model, 21)
    np.save(tmp_path / "p.npy", given)
    engine = load_engine(
        golden / "llama_v2_gqa",
        cache=CacheSettings(block_size=8, num_blocks=20),
        adapters=AdapterPaths(prefix_paths={"p": tmp_path / "p.npy"}),
        backend=Backend(inference_model=False),
    )
    params = SamplingParams(max_new_tokens=6, ignore_eos=True, prefix="p")
    beams = SamplingParams(max_new_tokens=6, ignore_eos=True, prefix="p", num_beams=2)
    prompt = [5, 6, 7]
    assert make_harness.generate(engine, [prompt], params) == [expected(model, given, prompt, 6)]
    native = load_engine(
        golden / "llama_v2_gqa",
        adapters=AdapterPaths(prefix_paths={"p": tmp_path / "p.npy"}),
        backend=Backend(threads=1),
    )
    assert make_harness.generate(engine, [prompt], beams) == make_harness.generate(
        native, [prompt], beams
    )


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("places", [7, 128])
def test_a_checkpoint_of_prefix_tuning(golden, tmp_path, places, projection):
    model = open_model(golden / "llama_v2_gqa")
    sizes = model.sizes
    random = np.random.default_rng(places)
    channels = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim

    def normal(*shape):
        return random.standard_normal(shape).astype(np.float32)

    if projection:
        weights = {
            "prefix_encoder.0.weight": normal(places, 9),
            "prefix_encoder.1.weight": normal(9, 5),
            "prefix_encoder.1.bias": normal(5),
            "prefix_encoder.3.weight": normal(5, channels),
            "prefix_encoder.3.bias": normal(channels),
        }
        inner = np.tanh(
            weights["prefix_encoder.0.weight"] @ weights["prefix_encoder.1.weight"]
            + weights["prefix_encoder.1.bias"]
        )
        table = inner @ weights["prefix_encoder.3.weight"] + weights["prefix_encoder.3.bias"]
    else:
        weights = {"prefix_encoder.0.weight": normal(places, channels)}
        table = weights["prefix_encoder.0.weight"]
    (tmp_path / "prefix_model_state.pdparams").write_bytes(pickle.dumps(weights, 2))
    config = {
        "num_prefix_tokens": places,
        "num_attention_heads": sizes.heads,
        "multi_query_group_num": sizes.kv_heads,
        "num_hidden_layers": sizes.layers,
        "prefix_projection": projection,
    }
    (tmp_path / "prefix_config.json").write_text(json.dumps(config))
    prefix = read_prefix(tmp_path, sizes)
    assert prefix.tokens == places
    # Channels are the keys of all layers, then the values, [2 L, G, D].
    split = table.reshape(places, 2, sizes.layers, sizes.kv_heads, sizes.head_dim)
    np.testing.assert_allclose(prefix.keys, split[:, 0].swapaxes(0, 1), rtol=1e-6)
    np.testing.assert_allclose(prefix.values, split[:, 1].swapaxes(0, 1), rtol=1e-6)


def test_what_is_no_prefix_of_this_model_is_refused(golden, tmp_path):
    model = open_model(golden / "llama_v2_gqa")
    sizes = model.sizes
    with pytest.raises(InferError, match="holds no tuned prefix"):
        read_prefix(tmp_path, sizes)
    wide = np.zeros((sizes.layers, 2, sizes.heads, 4, sizes.head_dim), np.float32)
    np.save(tmp_path / "wide.npy", wide)
    with pytest.raises(InferError, match=f"{sizes.kv_heads} KV heads"):
        read_prefix(tmp_path / "wide.npy", sizes)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(InferError, match="cannot be read"):
        read_prefix(tmp_path / "bad.npy", sizes)
    sick = caches(model, 2)
    sick[0, 0, 0, 0, 0] = np.nan
    np.save(tmp_path / "sick.npy", sick)
    with pytest.raises(InferError, match="finite"):
        read_prefix(tmp_path / "sick.npy", sizes)


def test_names_and_room(golden, tmp_path):
    model = open_model(golden / "llama_v2_gqa")
    np.save(tmp_path / "p.npy", caches(model, 20))
    engine = load_engine(
        golden / "llama_v2_gqa",
        cache=CacheSettings(block_size=16, num_blocks=2),
        adapters=AdapterPaths(prefix_paths={"p": tmp_path / "p.npy"}),
    )
    assert engine.prefixes == ["p"]
    with pytest.raises(InferError, match="no prefix 'q'; possible: p"):
        engine.add_request([1], SamplingParams(prefix="q"))
    # The two blocks hold 4 places of the prefix and 28 tokens.
    with pytest.raises(PromptTooLongError, match=r"at most 28 .* behind the prefix of 20 places"):
        engine.add_request([1] * 20, SamplingParams(prefix="p", max_new_tokens=9))
    engine.add_request([1] * 20, SamplingParams(prefix="p", max_new_tokens=8))
    prefix = TunedPrefix(*(np.zeros((3, 99, 2, 16), np.float32) for _ in range(2)))
    with pytest.raises(InferError, match="needs 7 blocks, but 2 are free"):
        engine.add_prefix("long", prefix)
    with pytest.raises(InferError, match="already"):
        engine.add_prefix("p", prefix)


def test_models_whose_prompts_have_a_prefix_of_their_own_refuse(golden, tmp_path):
    shutil.copytree(golden / "chatglm", tmp_path / "m")
    np.save(tmp_path / "p.npy", caches(open_model(tmp_path / "m"), 4))
    with pytest.raises(UnsupportedError, match="both ways"):
        load_engine(tmp_path / "m", adapters=AdapterPaths(prefix_paths={"p": tmp_path / "p.npy"}))
