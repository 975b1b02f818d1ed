"""Requests that take too long end with a reason of their own."""

from __future__ import annotations

import time

import pytest

from llm_infer.engine import FinishReason, SamplingParams
from llm_infer.errors import SamplingError


def test_running_and_waiting_requests_end_at_their_deadline(harness):
    engine = harness.engine(max_sequences=1)
    params = SamplingParams(max_new_tokens=150, ignore_eos=True, timeout_s=0.05)
    late = [engine.add_request([number], params) for number in (1, 2)]
    others = engine.add_request([3], SamplingParams(max_new_tokens=5, ignore_eos=True))
    first = engine.step()
    assert first[0].finish_reason is None
    time.sleep(0.06)
    events = harness.run(engine)
    for number in late:
        assert events[number][-1].finish_reason is FinishReason.DEADLINE
        assert events[number][-1].token_id is None
    assert events[others][-1].finish_reason is FinishReason.LENGTH
    assert engine.stats().free_blocks == engine.limits.num_blocks


def test_text_that_was_held_back_is_shown_at_the_deadline(harness):
    engine = harness.engine(decode=lambda ids: "x" * len(ids))
    params = SamplingParams(
        max_new_tokens=150, ignore_eos=True, timeout_s=0.03, stop=("xxxxxxxxxxxxxxxxxxxxxxxxxy",)
    )
    number = engine.add_request([1], params)
    shown = [event for event in engine.step() if event.text]
    assert shown == []
    time.sleep(0.04)
    assert harness.run(engine)[number][-1].text == "x"


def test_a_request_in_time_is_left_alone(harness):
    engine = harness.engine()
    params = SamplingParams(max_new_tokens=5, timeout_s=60.0)
    assert harness.generate(engine, [[1, 2]], params) == [harness.expected([1, 2], 5)]


def test_a_negative_time_is_refused():
    with pytest.raises(SamplingError, match="timeout_s is -1"):
        SamplingParams(timeout_s=-1)
