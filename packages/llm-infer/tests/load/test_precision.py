"""Rounded weights, inputs and caches answer as the reference does with them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_infer.engine import SamplingParams
from llm_infer.load import chosen_weights, load_engine
from llm_kernels.reference_decoder import forward


@pytest.fixture
def prompts(golden):
    """Those of the golden Llama."""
    stored = np.load(golden / "llama_v2_gqa" / "golden.npz")
    return [stored[f"prompt_{i}"].tolist() for i in range(2)]


class Rounded:
    """The reference decoder, and what it may answer where an input lies at a half between codes.

    Which way such an input is rounded hangs on the last bit of a sum, which every implementation
    has its own way of adding. One code more or less moves this small model's logits by up to 0.1.
    So besides the reference as it is, there are others whose norms differ by that last bit.
    """

    def __init__(self, model, weights):
        self.model, self.weights = model, weights
        self.others = {}

    def _with_last_bits_of(self, seed):
        if seed not in self.others:
            rng = np.random.default_rng(seed)
            self.others[seed] = {
                key: (weight * (1 + 3e-7 * rng.standard_normal(weight.shape))).astype(np.float32)
                if isinstance(weight, np.ndarray) and weight.ndim == 1
                else weight
                for key, weight in self.weights.items()
            }
        return self.others[seed]

    def answers(self, tokens):
        """Log probabilities [V] of the next token: the reference's, then the others'."""
        for seed in range(40):
            weights = self._with_last_bits_of(seed) if seed else self.weights
            last = forward(self.model.spec, self.model.sizes, weights, tokens)[-1]
            logits = last.astype(np.float64)
            yield logits - np.log(np.exp(logits).sum())


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "bfloat16"},
        {"dtype": "bfloat16", "act_quant_type": "int8_block"},
        {"quant_type": "a8w8"},
        {"quant_type": "a8w8_fp8"},
        {"quant_type": "weight_only_int4", "act_quant_type": "int8_block"},
        {"quant_type": "weight_only_int8", "act_quant_type": "int8_token"},
    ],
)
def test_every_rounding_answers_as_the_reference_does_with_it(
    golden, prompts, make_harness, settings
):
    model = open_model(golden / "llama_v2_gqa")
    given = {"dtype": "float32", "quant_type": None, "act_quant_type": None, **settings}
    weight = chosen_weights(model, lora_path=None, **given)
    oracle = Rounded(model, {key: weight(key) for key in model.parameters})
    engine = load_engine(golden / "llama_v2_gqa", threads=1, cachekv_dtype="float32", **settings)
    params = SamplingParams(max_new_tokens=4, ignore_eos=True, logprobs=0)
    for prompt in prompts:
        number = engine.add_request(prompt, params)
        tokens = list(prompt)
        for event in make_harness.run(engine)[number]:
            assert any(
                abs(event.logprobs.logprob - expected[event.token_id]) < 1e-4
                and expected[event.token_id] > expected.max() - 1e-4
                for expected in oracle.answers(np.array(tokens))
            )
            tokens.append(event.token_id)


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
        load_engine(tmp_path / "m", threads=1, num_blocks=8, **more) for more in ({}, settings)
    ]
    for engine in engines:
        ids = [engine.add_request(prompt, params) for prompt in prompts]
        events = make_harness.run(engine)
        told.append([e.logprob for i in ids for e in events[i][0].prompt_logprobs])
    difference = np.abs(np.subtract(*told)).max()
    assert 0 < difference < most
    assert engines[1].runner.cache_bytes < 0.6 * engines[0].runner.cache_bytes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "float32"),
        ({"quant_type": "weight_only_int4"}, "float32"),
        ({"quant_type": "weight_only_int4", "act_quant_type": "int8_block"}, "bfloat16"),
        ({"dtype": "bfloat16", "act_quant_type": "int8_block"}, "bfloat16"),
        ({"quant_type": "a8w8", "cachekv_dtype": "float32"}, "float32"),
    ],
)
def test_the_cache_is_as_exact_as_the_linears_inputs(golden, settings, expected):
    engine = load_engine(golden / "llama_v2_gqa", threads=1, **settings)
    assert engine.runner.cache_dtype == expected
