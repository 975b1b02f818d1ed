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
    weights = {key: weight(key) for key in model.parameters}
    oracle = make_harness(lambda ids: forward(model.spec, model.sizes, weights, ids)[-1])
    engine = load_engine(golden / "llama_v2_gqa", threads=1, cachekv_dtype="float32", **settings)
    params = SamplingParams(max_new_tokens=4, ignore_eos=True, logprobs=0)
    for prompt in prompts:
        number = engine.add_request(prompt, params)
        tokens = list(prompt)
        for event in make_harness.run(engine)[number]:
            logits = oracle.next_logits(tokens).astype(np.float64)
            expected = logits - np.log(np.exp(logits).sum())
            # An input that falls to the other side of a half moves this model's logits by 0.03,
            # and which do differs from one instruction set to the next.
            assert event.logprobs.logprob == pytest.approx(expected[event.token_id], abs=0.06)
            assert expected[event.token_id] > expected.max() - 0.06
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
