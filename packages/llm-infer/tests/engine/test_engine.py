"""The engine against generation one token at a time without batches, blocks or chunks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from llm_infer.engine import FinishReason, SamplingParams
from llm_infer.errors import EngineStoppedError, InferError, PromptTooLongError, SamplingError

GREEDY = SamplingParams(max_new_tokens=20)


@pytest.mark.parametrize("max_batch_tokens", [3, 16, 2048])
@pytest.mark.parametrize("num_blocks", [16, 20, 400])
def test_batched_tokens_equal_one_at_a_time(harness, num_blocks, max_batch_tokens):
    prompts = harness.prompts(12)
    engine = harness.engine(num_blocks=num_blocks, max_batch_tokens=max_batch_tokens)
    answers = harness.generate(engine, prompts, GREEDY)
    assert answers == [harness.expected(prompt, 20) for prompt in prompts]
    stats = engine.stats()
    assert stats.free_blocks == num_blocks
    assert stats.running == stats.waiting == 0
    assert max(engine.runner.batch_tokens) <= max_batch_tokens
    assert stats.preemptions == 0 or num_blocks < 400


def test_a_tiny_pool_preempts_and_loses_nothing(harness):
    prompts = harness.prompts(8, 6, 8, seed=3)
    engine = harness.engine(num_blocks=14)
    params = SamplingParams(max_new_tokens=40, ignore_eos=True, temperature=1.0, seed=7)
    answers = harness.generate(engine, prompts, params)
    assert engine.stats().preemptions > 0
    assert answers == harness.generate(harness.engine(num_blocks=200), prompts, params)


def test_requests_join_while_others_run(harness):
    prompts = harness.prompts(6, seed=5)
    engine = harness.engine()
    events: dict[int, list[int]] = {}
    ids = []
    while engine.has_work or len(ids) < len(prompts):
        if len(ids) < len(prompts):
            ids.append(engine.add_request(prompts[len(ids)], GREEDY))
        for event in engine.step():
            events.setdefault(event.request_id, []).append(event.token_id)
    assert [events[i] for i in ids] == [harness.expected(prompt, 20) for prompt in prompts]
    assert max(engine.runner.batch_sequences) > 1


def test_a_long_prompt_does_not_stall_the_streams(harness):
    engine = harness.engine(max_batch_tokens=8)
    first = engine.add_request([5, 6], SamplingParams(max_new_tokens=30, ignore_eos=True))
    engine.step()
    engine.add_request(list(range(1, 81)), GREEDY)
    for _ in range(9):
        assert [event.request_id for event in engine.step()] == [first]


def test_the_seed_alone_decides_samples(harness):
    prompts = harness.prompts(4, seed=9)
    params = SamplingParams(max_new_tokens=15, temperature=0.9, top_p=0.95, seed=11)
    alone = [harness.generate(harness.engine(), [prompt], params)[0] for prompt in prompts]
    together = harness.generate(harness.engine(), prompts, params)
    assert alone == together
    other = SamplingParams(max_new_tokens=15, temperature=0.9, top_p=0.95, seed=12)
    assert harness.generate(harness.engine(), prompts, other) != together


def test_reasons(harness):
    engine = harness.engine()
    prompt = [3, 4, 5]
    answer = harness.expected(prompt, 20)
    cases = {
        engine.add_request(prompt, SamplingParams(max_new_tokens=2)): FinishReason.LENGTH,
        engine.add_request(prompt, SamplingParams(stop_token_ids=(answer[4],))): FinishReason.STOP,
    }
    events = harness.run(engine)
    assert {i: seen[-1].finish_reason for i, seen in events.items()} == cases
    assert [event.token_id for event in list(events.values())[1]] == answer[
        : answer.index(answer[4]) + 1
    ]


def test_without_a_limit_the_answer_ends_with_the_context(harness):
    engine = harness.engine(max_positions=32)
    params = SamplingParams(ignore_eos=True)
    assert len(harness.generate(engine, [[1, 2, 3]], params)[0]) == 29


def test_abort_returns_the_blocks_before_the_next_step(harness):
    engine = harness.engine()
    params = SamplingParams(max_new_tokens=100, ignore_eos=True)
    ids = [engine.add_request(prompt, params) for prompt in harness.prompts(3)]
    queued = harness.engine(max_sequences=1)
    for _ in range(5):
        engine.step()
    held = engine.stats().free_blocks
    engine.abort(ids[1])
    events = engine.step()
    assert (events[0].request_id, events[0].finish_reason) == (ids[1], FinishReason.ABORT)
    assert {e.request_id for e in events[1:]} == {ids[0], ids[2]}
    assert engine.stats().free_blocks > held
    engine.abort(ids[1])
    engine.abort(12345)
    for request_id in (ids[0], ids[2]):
        engine.abort(request_id)
    engine.step()
    assert engine.stats().free_blocks == engine.limits.num_blocks
    assert not engine.has_work
    queued.add_request([1], params)
    waiting = queued.add_request([2], params)
    queued.step()
    queued.abort(waiting)
    assert (waiting, FinishReason.ABORT) in [(e.request_id, e.finish_reason) for e in queued.step()]


@pytest.mark.parametrize(
    ("prompt", "params", "error", "words"),
    [
        ([], GREEDY, InferError, "empty"),
        ([1, 97], GREEDY, InferError, "97"),
        ([1, -1], GREEDY, InferError, "-1"),
        ([1] * 30, SamplingParams(max_new_tokens=20), PromptTooLongError, "30 .* 20 .* 50; .* 40"),
        ([1] * 40, SamplingParams(), PromptTooLongError, "40 .* 40"),
        ([1], SamplingParams(stop=("x",)), SamplingError, "tokenizer"),
    ],
)
def test_what_can_never_run_is_refused_with_the_numbers(harness, prompt, params, error, words):
    engine = harness.engine(num_blocks=10)
    with pytest.raises(error, match=words):
        engine.add_request(prompt, params)
    assert not engine.has_work


def test_streams_of_the_background_thread(harness):
    prompts = harness.prompts(8, seed=2)
    engine = harness.engine(num_blocks=20)
    streams = [engine.submit(prompt, GREEDY) for prompt in prompts]
    answers = [[event.token_id for event in stream] for stream in streams]
    assert answers == [harness.expected(prompt, 20) for prompt in prompts]
    engine.close()
    engine.close()
    with pytest.raises(EngineStoppedError, match="closed"):
        engine.submit([1], GREEDY)


def test_submit_and_cancel_from_many_threads(harness):
    engine = harness.engine(num_blocks=24, max_sequences=6)
    prompts = harness.prompts(24, seed=4)
    answers: dict[int, list[int]] = {}

    def ask(index: int) -> None:
        stream = engine.submit(prompts[index], SamplingParams(max_new_tokens=12))
        tokens = []
        for event in stream:
            tokens.append(event.token_id)
            if index % 3 == 0:
                stream.cancel()
        answers[index] = tokens

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for index, prompt in enumerate(prompts):
        if index % 3:
            assert answers[index] == harness.expected(prompt, 12)
    deadline = time.monotonic() + 5
    while engine.has_work and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.stats().free_blocks == 24
    engine.close()


def test_close_ends_streams_in_flight(harness):
    engine = harness.engine()
    stream = engine.submit([1, 2], SamplingParams(max_new_tokens=150, ignore_eos=True))
    reader = iter(stream)
    next(reader)
    engine.close()
    assert [event.finish_reason for event in reader][-1] is FinishReason.ABORT
    assert engine.stats().free_blocks == engine.limits.num_blocks


def test_a_failing_decoder_ends_every_stream_with_its_error(make_harness):
    def broken(context: list[int]) -> np.ndarray:
        if len(context) > 5:
            message = "bad block"
            raise RuntimeError(message)
        return np.arange(97.0)

    engine = make_harness(broken).engine(max_sequences=1)
    with engine._stepping:  # or the first may fail before the second is there
        streams = [engine.submit([1, 2, 3], GREEDY) for _ in range(2)]
    for stream in streams:
        with pytest.raises(EngineStoppedError, match="bad block"):
            list(stream)
    with pytest.raises(EngineStoppedError, match="bad block"):
        engine.add_request([1], GREEDY)


def test_a_failing_reader_ends_its_own_request_only(harness):
    engine = harness.engine()

    def fail(event: object) -> None:
        message = "reader gone"
        raise RuntimeError(message)

    bad = engine.add_request([1, 2], SamplingParams(max_new_tokens=50, ignore_eos=True), fail)
    good = engine.add_request([3, 4], GREEDY)
    events = harness.run(engine)
    assert events[bad][-1].finish_reason is FinishReason.ABORT
    assert len(events[bad]) <= 3
    assert [event.token_id for event in events[good]] == harness.expected([3, 4], 20)


@pytest.mark.parametrize(
    "params", [GREEDY, SamplingParams(max_new_tokens=20, temperature=1.0, seed=1)]
)
def test_logits_without_a_maximum_end_their_own_request_only(make_harness, harness, params):
    def sick(context: list[int]) -> np.ndarray:
        logits = harness.next_logits(context)
        if context[0] == 1 and len(context) > 4:
            logits[50] = np.nan
        return logits

    engine = make_harness(sick).engine()
    bad = engine.add_request([1, 2], params)
    good = engine.add_request([3, 4], GREEDY)
    events = harness.run(engine)
    assert events[bad][-1].finish_reason is FinishReason.ERROR
    assert "logit is nan" in events[bad][-1].error
    assert len(events[bad]) == 4
    assert [event.token_id for event in events[good]] == harness.expected([3, 4], 20)
    assert engine.stats().free_blocks == engine.limits.num_blocks
    assert not engine.stopped


def test_text_that_cannot_be_decoded_ends_its_own_request_only(harness):
    unknown = harness.expected([1, 2], 20)[4]
    assert unknown not in harness.expected([3, 4], 3)

    def decode(ids: list[int]) -> str:
        if unknown in ids:
            raise IndexError(unknown)
        return "x" * len(ids)

    engine = harness.engine(decode=decode)
    bad = engine.add_request([1, 2], GREEDY)
    good = engine.add_request([3, 4], SamplingParams(max_new_tokens=3))
    events = harness.run(engine)
    assert events[bad][-1].error.startswith("IndexError")
    assert events[good][-1].finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("part", ["schedule", "advance"])
def test_streams_end_when_the_scheduler_fails(harness, monkeypatch, part):
    engine = harness.engine()

    def broken(*_: object) -> None:
        message = "out of step"
        raise AssertionError(message)

    monkeypatch.setattr(engine._scheduler, part, broken)
    stream = engine.submit([1, 2, 3], GREEDY)
    ended: list[str] = []

    def read() -> None:
        try:
            list(stream)
        except EngineStoppedError as error:
            ended.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(5)
    assert ended == ["The engine stopped: AssertionError: out of step"]
    assert engine.stopped == ended[0]


def test_streams_end_when_the_thread_is_told_to_exit(harness, monkeypatch):
    engine = harness.engine()
    ended = threading.Event()

    def leave(_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(engine.runner, "step", leave)
    engine.add_request([1, 2], GREEDY, lambda event: ended.set())
    engine.start()
    assert ended.wait(5)


def test_the_end_of_the_process_ends_running_engines(tmp_path):
    code = f"""
import time, numpy as np
from llm_infer.engine import Engine, EngineLimits, SamplingParams

class Slow:
    def step(self, batch):
        time.sleep(0.01)
        return np.ones((len(batch.logits_rows), 9), np.float32)

def note(event):
    if event.finish_reason:
        open({str(tmp_path / "end")!r}, "w").write(event.finish_reason)

engine = Engine(Slow(), EngineLimits(num_blocks=500, max_positions=9999, vocab_size=9))
engine.add_request([1], SamplingParams(ignore_eos=True), note)
engine.start()
time.sleep(0.1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert (tmp_path / "end").read_text() == "abort"
