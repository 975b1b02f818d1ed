"""Rounded weights, inputs and caches answer as the reference does with them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_infer.engine import SamplingParams
from llm_infer.load import Backend, CacheSettings, Precision, load_engine
from llm_infer.weights import chosen_weights
from llm_kernels.reference_decoder import forward
from llm_kernels.weights import RoundedInputs


@pytest.fixture
def prompts(golden):
    """Those of the golden Llama."""
    stored = np.load(golden / "llama_v2_gqa" / "golden.npz")
    return [stored[f"prompt_{i}"].tolist() for i in range(2)]


class OtherLastBits:
    """A weight that meets inputs whose last bits are others, as another order of sums leaves them.

    Measured between instruction sets: 1e-7 of a row's largest input.
    """

    def __init__(self, weight, seed):
        self.weight, self.rng = weight, np.random.default_rng(seed)

    def project(self, x):
        most = np.abs(x).max(-1, keepdims=True)
        noise = 3e-7 * most * self.rng.standard_normal(x.shape)
        return self.weight.project((x + noise).astype(np.float32))

    def dequantize(self):
        return self.weight.dequantize()


class Oracle:
    """The reference decoder over rounded weights, and prompts on which it stands firm.

    An input of a linear that lies at a half between two codes is rounded this way or that by its
    last bit, and one code more or less moves this small model's logits by up to 0.1. So prompts are
    taken where the reference says the same whatever the last bits are: its own verdict, which knows
    nothing of the engine.
    """

    def __init__(self, model, weights):
        self.model = model
        self.weights = [weights]
        for seed in range(12):
            others = {
                key: OtherLastBits(weight, seed) if isinstance(weight, RoundedInputs) else weight
                for key, weight in weights.items()
            }
            self.weights.append(others)

    def answer(self, weights, prompt):
        """Three greedy tokens and their log probabilities."""
        tokens, told = list(prompt), []
        for _ in range(3):
            last = forward(self.model.spec, self.model.sizes, weights, tokens)[-1]
            logits = last.astype(np.float64)
            tokens.append(int(logits.argmax()))
            told.append(logits.max() - np.log(np.exp(logits).sum()))
        return tokens[len(prompt) :], told

    def firm_answers(self, rng, count, within):
        """`count` random prompts with their answers, which last bits move by `within` at most."""
        found = []
        for _ in range(20 * count):
            prompt = rng.integers(3, self.model.sizes.vocab, rng.integers(2, 5)).tolist()
            tokens, told = self.answer(self.weights[0], prompt)
            others = (self.answer(weights, prompt) for weights in self.weights[1:])
            if all(tokens == t and np.allclose(told, o, rtol=0, atol=within) for t, o in others):
                found.append((prompt, tokens, told))
            if len(found) == count:
                return found
        pytest.fail(f"only {len(found)} of {20 * count} prompts stand firm")


@pytest.mark.parametrize(
    ("precision", "within"),
    [
        (Precision(dtype="bfloat16"), 1e-4),
        # Small inputs have many codes: some always lie at a half, and move little.
        (Precision(dtype="bfloat16", act_quant_type="int8_block"), 5e-3),
        (Precision(quant_type="a8w8"), 1e-4),
        (Precision(quant_type="a8w8_fp8"), 1e-4),
        (Precision(quant_type="weight_only_int4", act_quant_type="int8_block"), 1e-4),
        (Precision(quant_type="weight_only_int8", act_quant_type="int8_token"), 1e-4),
    ],
)
def test_every_rounding_answers_as_the_reference_does_with_it(
    golden, make_harness, precision, within
):
    model = open_model(golden / "llama_v2_gqa")
    weight = chosen_weights(model, precision)
    oracle = Oracle(model, {key: weight(key) for key in model.parameters})
    engine = load_engine(
        golden / "llama_v2_gqa",
        precision=precision,
        cache=CacheSettings(cachekv_dtype="float32"),
        backend=Backend(threads=1),
    )
    params = SamplingParams(max_new_tokens=3, ignore_eos=True, logprobs=0)
    for prompt, tokens, told in oracle.firm_answers(np.random.default_rng(5), 6, within):
        number = engine.add_request(prompt, params)
        events = make_harness.run(engine)[number]
        assert [event.token_id for event in events] == tokens
        assert [event.logprobs.logprob for event in events] == pytest.approx(told, abs=within)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"cachekv_dtype": "bfloat16"}, 0.05),
        ({"cachekv_int8_type": "dynamic"}, 0.05),
        ({"cachekv_int8_type": "static"}, 0.3),
    ],
)
def test_smaller_caches_stay_close_and_take_less(
    golden, prompts, make_harness, tmp_path, settings, most
):
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "m")
    largest = {
        f"llama.layers.{layer}.self_attn.cache{which}_matmul.activation_quanter": [8.0] * 2
        for layer in range(3)
        for which in "kv"
    }
    (tmp_path / "m" / "cachekv_scales.json").write_text(json.dumps(largest))
    params = SamplingParams(max_new_tokens=1, ignore_eos=True, prompt_logprobs=0)
    told = []
    engines = [
        load_engine(
            tmp_path / "m",
            cache=CacheSettings(num_blocks=8, **more),
            backend=Backend(threads=1),
        )
        for more in ({}, settings)
    ]
    for engine in engines:
        ids = [engine.add_request(prompt, params) for prompt in prompts]
        events = make_harness.run(engine)
        told.append([e.logprob for i in ids for e in events[i][0].prompt_logprobs])
    difference = np.abs(np.subtract(*told)).max()
    assert 0 < difference < most
    assert engines[1].runner.cache_bytes < 0.6 * engines[0].runner.cache_bytes


@pytest.mark.parametrize(
    ("precision", "asked", "expected"),
    [
        (Precision(), None, "float32"),
        (Precision(quant_type="weight_only_int4"), None, "float32"),
        (Precision(quant_type="weight_only_int4", act_quant_type="int8_block"), None, "bfloat16"),
        (Precision(dtype="bfloat16", act_quant_type="int8_block"), None, "bfloat16"),
        (Precision(quant_type="a8w8"), "float32", "float32"),
    ],
)
def test_the_cache_is_as_exact_as_the_linears_inputs(golden, precision, asked, expected):
    engine = load_engine(
        golden / "llama_v2_gqa",
        precision=precision,
        cache=CacheSettings(cachekv_dtype=asked),
        backend=Backend(threads=1),
    )
    assert engine.runner.cache_dtype == expected
