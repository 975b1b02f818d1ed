"""A decoder taken apart: blocks one by one equal the whole, hooks see what linears read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from llm_convert.model import Model, open_model
from llm_convert.verify.certificate import plain_logits
from llm_kernels.families import SLOTS, ParameterKey
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters
from llm_quant.layerwise.forward import Embedding, Layer, Reading

FAMILIES = ["llama_v2_gqa", "mistral", "bloom", "opt", "chatglm2", "qwen2_moe"]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, golden: Path) -> Model:
    return open_model(golden / request.param)


def test_layer_after_layer_equals_the_whole_decoder(model: Model) -> None:
    ids = np.random.default_rng(0).integers(0, model.sizes.vocab, (3, 17))
    whole = Decoder(model.spec, model.sizes)
    whole.eval()
    load_parameters(whole, model.dense)
    with paddle.no_grad():
        expected, state = whole.begin(paddle.to_tensor(ids))
        for block in whole.blocks:
            expected = block(expected, state)
    embedding = Embedding(model.spec, model.sizes, model.dense)
    hidden = embedding.embed(ids)
    for index in range(model.sizes.layers):
        layer = Layer(model.spec, model.sizes, index, model.dense)
        hidden = layer.run(hidden, embedding)
    np.testing.assert_allclose(hidden, expected.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["chatglm", "glm"])
def test_families_of_two_positions_read_a_sample_as_context(golden: Path, family: str) -> None:
    model = open_model(golden / family)
    ids = np.random.default_rng(3).integers(0, model.sizes.vocab, (2, 12))
    embedding = Embedding(model.spec, model.sizes, model.dense)
    hidden = embedding.embed(ids)
    for index in range(model.sizes.layers):
        hidden = Layer(model.spec, model.sizes, index, model.dense).run(hidden, embedding)
    whole = Decoder(model.spec, model.sizes)
    load_parameters(whole, model.dense)
    whole.eval()
    with paddle.no_grad():
        logits = whole.finish(paddle.to_tensor(hidden)).numpy()
    for row, found in zip(ids, logits, strict=True):
        expected = plain_logits(model.spec, model.sizes, model.dense, row)
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)


def test_observers_sum_what_linears_read(model: Model) -> None:
    embedding = Embedding(model.spec, model.sizes, model.dense)
    layer = Layer(model.spec, model.sizes, 0, model.dense)
    linears = [
        key
        for key in model.parameters
        if key.layer == 0 and key.leaf == "weight" and SLOTS[key.slot].adaptable
    ]
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, model.sizes.vocab, shape) for shape in ((2, 9), (1, 5))]
    with layer.observed(linears) as observers:
        for ids in batches:
            layer.run(embedding.embed(ids), embedding)
    again = layer.run(embedding.embed(batches[0]), embedding)
    assert np.isfinite(again).all()
    assert set(observers) == {Reading.of(key) for key in linears}
    # 23 tokens pass every dense linear; the experts share them, k of them a token.
    tokens = {reading: observer.gram().tokens for reading, observer in observers.items()}
    assert tokens[Reading("attn_in", None)] == 23
    by_expert = [
        n for r, n in tokens.items() if r.shared_input == "mlp_in" and r.expert is not None
    ]
    if by_expert:
        assert sum(by_expert) == 23 * model.sizes.experts_per_token


def test_gram_of_the_first_attention_is_that_of_the_normed_embedding(golden: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    embedding = Embedding(model.spec, model.sizes, model.dense)
    layer = Layer(model.spec, model.sizes, 0, model.dense)
    ids = np.random.default_rng(2).integers(0, model.sizes.vocab, (2, 11))
    hidden = embedding.embed(ids)
    with layer.observed([ParameterKey("k", 0), ParameterKey("q", 0)]) as observers:
        layer.run(hidden, embedding)
    rows = model.dense(ParameterKey("embed"))[ids.ravel()].astype(np.float64)
    rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + model.sizes.eps)
    rows *= model.dense(ParameterKey("attn_norm", 0))
    gram = observers[Reading("attn_in", None)].gram()
    assert gram.tokens == 22
    np.testing.assert_allclose(gram.total, rows.T @ rows, rtol=1e-4, atol=1e-3)


def test_setting_a_weight_changes_the_block(golden: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    embedding = Embedding(model.spec, model.sizes, model.dense)
    layer = Layer(model.spec, model.sizes, 0, model.dense)
    hidden = embedding.embed(np.arange(6)[None])
    for slot in ("out", "down"):
        layer.set(ParameterKey(slot, 0), np.zeros_like(model.dense(ParameterKey(slot, 0))))
    # With nothing added to the residual a block hands on what it was given.
    np.testing.assert_array_equal(layer.run(hidden, embedding), hidden)
