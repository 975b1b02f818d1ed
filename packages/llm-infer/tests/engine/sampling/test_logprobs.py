"""Log probabilities: of single rows, and as a request gets them."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import SamplingParams
from llm_infer.engine.sampling import token_logprobs


def expected(logits):
    wide = logits.astype(np.longdouble)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def test_rows_against_the_definition():
    logits = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32) * 5
    told = token_logprobs(logits, [4, 0, 49], [0, 3, 50])
    for row, logprobs in enumerate(told):
        values = expected(logits[row])
        assert logprobs.logprob == pytest.approx(float(values[logprobs.token_id]), abs=1e-12)
        order = np.argsort(-values, kind="stable")[: [0, 3, 50][row]]
        assert [token for token, _ in logprobs.top] == order.tolist()
        assert [value for _, value in logprobs.top] == pytest.approx(values[order].tolist())


def test_equal_logits_come_in_the_order_of_their_ids():
    [told] = token_logprobs(np.zeros((1, 6), np.float32), [2], [6])
    assert [token for token, _ in told.top] == list(range(6))
    assert told.logprob == pytest.approx(np.log(1 / 6))


@pytest.mark.parametrize("max_batch_tokens", [4, 2048])
def test_of_prompt_and_answer(harness, max_batch_tokens):
    engine = harness.engine(max_batch_tokens=max_batch_tokens)
    prompt = list(range(1, 20))
    for params in (
        SamplingParams(max_new_tokens=6, logprobs=2, prompt_logprobs=1),
        SamplingParams(max_new_tokens=6, logprobs=2, prompt_logprobs=1, temperature=3.0, seed=1),
    ):
        number = engine.add_request(prompt, params)
        events = harness.run(engine)[number]
        tokens = [*prompt, *(event.token_id for event in events)]
        for index, event in enumerate(events):
            values = expected(harness.next_logits(tokens[: len(prompt) + index]))
            assert event.logprobs.token_id == event.token_id
            assert event.logprobs.logprob == pytest.approx(float(values[event.token_id]))
            assert len(event.logprobs.top) == 2
        told = events[0].prompt_logprobs
        assert [entry.token_id for entry in told] == prompt[1:]
        for index, entry in enumerate(told):
            values = expected(harness.next_logits(prompt[: index + 1]))
            assert entry.logprob == pytest.approx(float(values[entry.token_id]))
            assert entry.top[0][0] == int(values.argmax())
        assert not any(event.prompt_logprobs for event in events[1:])


def test_prompt_logprobs_survive_preemption_and_known_beginnings(harness):
    prompts = harness.prompts(8, 6, 8, seed=3)
    params = SamplingParams(max_new_tokens=40, ignore_eos=True, prompt_logprobs=0)

    def told(engine):
        ids = [engine.add_request(prompt, params) for prompt in prompts]
        events = harness.run(engine)
        return [events[number][0].prompt_logprobs for number in ids]

    small = harness.engine(num_blocks=14)
    first = told(small)
    assert small.stats().preemptions > 0
    assert first == told(harness.engine()) == told(small)
    assert [len(entries) for entries in first] == [len(prompt) - 1 for prompt in prompts]


def test_none_unless_asked_for(harness):
    engine = harness.engine()
    number = engine.add_request([1, 2, 3], SamplingParams(max_new_tokens=3))
    for event in harness.run(engine)[number]:
        assert event.logprobs is None
        assert event.prompt_logprobs == ()
