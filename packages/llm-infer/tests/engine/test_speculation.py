"""Drafts change how many steps an answer takes, never its tokens."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import SamplingParams
from llm_infer.engine.speculation import LONGEST_DRAFT, Speculator


def repetitive(context: list[int]) -> np.ndarray:
    """Logits that mostly go on with what followed the last two tokens before."""
    import zlib

    random = np.random.default_rng(zlib.crc32(np.array(context, np.int32).tobytes()))
    logits = random.standard_normal(97).astype(np.float32)
    for end in range(len(context) - 1, 2, -1):
        if context[end - 2 : end] == context[-2:]:
            logits[context[end]] += 6 if len(context) % 10 else 0
            break
    return logits


PARAMS = [
    SamplingParams(max_new_tokens=60, ignore_eos=True),
    SamplingParams(max_new_tokens=60),
    SamplingParams(max_new_tokens=60, ignore_eos=True, temperature=0.7, top_p=0.9, seed=5),
    SamplingParams(max_new_tokens=60, repetition_penalty=1.1, frequency_penalty=0.2, min_p=0.01),
]


@pytest.mark.parametrize(
    "sizes", [{"num_blocks": 200}, {"num_blocks": 40}, {"max_batch_tokens": 7}]
)
@pytest.mark.parametrize("params", PARAMS)
def test_the_same_tokens_with_and_without(make_harness, params, sizes):
    harness = make_harness(repetitive)
    random = np.random.default_rng(2)
    prompts = [random.integers(1, 9, 25).tolist() for _ in range(6)]
    plain = harness.engine(**sizes)
    fast = harness.engine(speculate_ngram=3, **sizes)
    answers = harness.generate(plain, prompts, params)
    assert harness.generate(fast, prompts, params) == answers
    stats = fast.stats()
    assert 0 < stats.accepted_tokens < stats.drafted_tokens
    assert stats.free_blocks == fast.limits.num_blocks
    assert max(fast.runner.batch_tokens) <= fast.limits.max_batch_tokens


def test_fewer_steps_and_the_same_logprobs(make_harness):
    harness = make_harness(repetitive)
    params = SamplingParams(max_new_tokens=40, ignore_eos=True, logprobs=3)

    def told(engine):
        number = engine.add_request([1, 2, 3, 1, 2, 3, 1, 2], params)
        return [event.logprobs for event in harness.run(engine)[number]]

    plain, fast = harness.engine(), harness.engine(speculate_ngram=2)
    assert told(plain) == told(fast)
    assert fast.stats().steps < plain.stats().steps


def test_drafts_follow_the_longest_and_latest_match():
    speculator = Speculator(3)
    assert speculator.propose([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3], 10) == [4, 9, 2, 3]
    assert Speculator(2).propose([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3], 10) == [5, 1, 2, 3]
    assert Speculator(2).propose([1, 2, 3, 4], 10) == []
    assert Speculator(1).propose([7, 8, 7], 3) == [8, 7, 8]
    assert Speculator(2).propose([5, 5, 5], 0) == []
    assert Speculator(3).propose([], 5) == []


def test_a_short_cycle_is_followed_as_long_as_a_draft_is():
    assert Speculator(2).propose([4, 4, 4, 4], 10) == [4, 4, 4, 4]


def test_drafts_grow_while_they_are_right_and_shrink_while_they_are_wrong():
    speculator = Speculator(1)
    text = [1, 2] * 40
    for _ in range(5):
        speculator.update_draft_length(4, 4)
    assert len(speculator.propose(text, 100)) == LONGEST_DRAFT
    for _ in range(6):
        speculator.update_draft_length(8, 0)
    assert len(speculator.propose(text, 100)) == 1
