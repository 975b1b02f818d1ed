"""Frequencies that follow the length: chosen once for a sequence, and never shared by mistake."""

from __future__ import annotations

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_infer.engine import SamplingParams
from llm_infer.engine.rope import RopeChoice, rope_choice
from llm_infer.load import Backend, CacheSettings, Scheduling, load_engine
from llm_kernels.reference_decoder import forward


def test_rules(golden):
    assert rope_choice(*described(golden, "llama_v3")) is None
    assert rope_choice(*described(golden, "phi3")) == RopeChoice(64, False, True)
    assert rope_choice(*described(golden, "qwen")).by_prompt
    long = RopeChoice(64, by_prompt=False, two_ways=True)
    assert [long.length(60, 4), long.length(60, 5), long.length(60, None)] == [64, 65, 60]
    assert [long.kind(64), long.kind(65), long.kind(900)] == ["", "long", "long"]
    other = RopeChoice(64, by_prompt=True, two_ways=False)
    assert (other.length(60, 90), other.kind(60), other.kind(70)) == (60, "", "70")


def described(golden, name):
    model = open_model(golden / name)
    return model.spec, model.sizes


@pytest.mark.parametrize(
    ("max_batch_tokens", "prefix_cache"), [(2048, True), (20, True), (2048, False)]
)
def test_answers_beyond_the_trained_length(golden, make_harness, max_batch_tokens, prefix_cache):
    model = open_model(golden / "phi3")
    prompts = [np.random.default_rng(i).integers(3, 160, n).tolist() for i, n in ((0, 66), (1, 80))]
    prompts.append(prompts[0][:40])
    oracle = make_harness(lambda ids: forward(model.spec, model.sizes, model.dense, ids)[-1])
    params = SamplingParams(max_new_tokens=5, ignore_eos=True)
    engine = load_engine(
        golden / "phi3",
        cache=CacheSettings(block_size=16, prefix_cache=prefix_cache),
        scheduling=Scheduling(max_batch_tokens=max_batch_tokens),
        backend=Backend(threads=1),
    )
    for _ in range(2):
        # The short prompt begins as a long one does, whose keys are rotated by other frequencies.
        for prompt in prompts:
            tokens = list(prompt)
            [answer] = make_harness.generate(engine, [prompt], params)
            for token in answer:
                assert token == int(oracle.next_logits(tokens).argmax())
                tokens.append(token)
