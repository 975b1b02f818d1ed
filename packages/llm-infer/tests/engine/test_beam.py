"""Beam search against one that keeps whole token lists and knows no blocks."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import SamplingParams
from llm_infer.errors import PromptTooLongError, SamplingError


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def search(next_logits, prompt, params, eos=0):
    """Beam search as Hugging Face's BeamSearchScorer does it, over plain lists."""
    beams, finished = [(0.0, list(prompt))], []
    count, alpha, most = params.num_beams, params.length_penalty, params.max_new_tokens
    for made in range(1, most + 1):
        ranked = []
        for number, (score, tokens) in enumerate(beams):
            for token, value in enumerate(log_softmax(next_logits(tokens))):
                ranked.append((score + value, number, token))
        ranked.sort(key=lambda item: (-item[0], item[1], item[2]))
        kept = []
        for rank, (score, number, token) in enumerate(ranked[: 2 * count]):
            if token == eos:
                if rank < count:
                    finished.append((score / made**alpha, [*beams[number][1], token]))
                    finished = sorted(finished, key=lambda item: -item[0])[:count]
            elif len(kept) < count:
                kept.append((score, [*beams[number][1], token]))
        beams = kept
        if len(finished) == count:
            length = most if params.early_stopping == "never" and alpha > 0 else made
            attainable = ranked[0][0] / length**alpha
            if params.early_stopping is True or finished[-1][0] >= attainable:
                break
    else:
        finished += [(score / most**alpha, tokens) for score, tokens in beams]
    return max(finished, key=lambda item: item[0])[1][len(prompt) :]


def eager_to_end(context):
    """Logits among which the end token 0 is often a good one."""
    import zlib

    random = np.random.default_rng(zlib.crc32(np.array(context, np.int32).tobytes()))
    logits = 2 * random.standard_normal(97).astype(np.float32)
    logits[0] += 2.5
    return logits


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -0.5])
@pytest.mark.parametrize("num_beams", [2, 5])
def test_against_a_plain_search(make_harness, num_beams, length_penalty, early_stopping):
    harness = make_harness(eager_to_end)
    params = SamplingParams(
        num_beams=num_beams,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
        max_new_tokens=9,
    )
    prompts = harness.prompts(3, seed=6)
    engine = harness.engine(num_blocks=200)
    answers = harness.generate(engine, prompts, params)
    assert answers == [search(eager_to_end, prompt, params) for prompt in prompts]
    assert engine.stats().free_blocks == 200


@pytest.mark.parametrize("num_blocks", [40, 70])
def test_searches_among_other_requests_in_a_small_cache(make_harness, num_blocks):
    harness = make_harness(eager_to_end)
    params = SamplingParams(num_beams=3, max_new_tokens=14, min_new_tokens=10)
    greedy = SamplingParams(max_new_tokens=14, ignore_eos=True)
    prompts = harness.prompts(8, 6, 30, seed=8)
    engine = harness.engine(num_blocks=num_blocks, max_sequences=9, max_batch_tokens=20)
    ids = [
        engine.add_request(prompt, params if number % 2 else greedy)
        for number, prompt in enumerate(prompts)
    ]
    events = harness.run(engine)
    roomy = harness.engine(num_blocks=500)
    for number, prompt in zip(ids, prompts, strict=True):
        tokens = [event.token_id for event in events[number]]
        [alone] = harness.generate(roomy, [prompt], params if number % 2 else greedy)
        assert tokens == alone
    assert engine.stats().preemptions > 0 or num_blocks > 40
    assert engine.stats().free_blocks == num_blocks


def test_beams_share_blocks_until_they_differ(make_harness):
    harness = make_harness(eager_to_end)
    engine = harness.engine(num_blocks=64)
    prompt = list(range(1, 41))
    engine.add_request(prompt, SamplingParams(num_beams=4, max_new_tokens=6, min_new_tokens=6))
    for _ in range(3):
        engine.step()
    # 40 tokens fill 10 blocks that all beams share; each has at most one block of its own.
    assert 1 <= 64 - 10 - engine.stats().free_blocks <= 4
    harness.run(engine)
    assert engine.runner.copied > 0


def test_penalties_apply_to_the_history_of_each_beam(make_harness):
    harness = make_harness(lambda context: np.arange(97, 0, -1).astype(np.float32) / 20)
    params = SamplingParams(num_beams=2, max_new_tokens=6, frequency_penalty=2.0, ignore_eos=True)
    [answer] = harness.generate(harness.engine(), [[5]], params)
    assert len(set(answer)) == 6


def test_an_end_by_a_stop_string(make_harness):
    harness = make_harness(eager_to_end)
    engine = harness.engine(decode=lambda ids: "".join(f"<{token}>" for token in ids))
    plain = SamplingParams(num_beams=3, max_new_tokens=8, min_new_tokens=8)
    [answer] = harness.generate(engine, [[4, 5]], plain)
    stopping = SamplingParams(num_beams=3, max_new_tokens=8, stop=(f"<{answer[3]}>",))
    long = SamplingParams(num_beams=3, max_new_tokens=8, ignore_eos=True)
    number = engine.add_request([4, 5], long)
    text = "".join(event.text for event in harness.run(engine)[number])
    assert text.count("<") == 8
    number = engine.add_request([4, 5], stopping)
    events = harness.run(engine)[number]
    assert f"<{answer[3]}>" not in "".join(event.text for event in events)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"num_beams": 9}, SamplingError, "at most 4 sequences"),
        ({"num_beams": 4, "max_new_tokens": 90}, PromptTooLongError, "4 beams of 92 tokens"),
        ({"num_beams": 0}, SamplingError, "num_beams is 0"),
        ({"num_beams": 2, "temperature": 1.0}, SamplingError, "not sampled"),
        ({"num_beams": 2, "logprobs": 1}, SamplingError, "logprobs cannot"),
        ({"num_beams": 2, "early_stopping": "often"}, SamplingError, "early_stopping"),
        ({"num_beams": 2, "length_penalty": float("nan")}, SamplingError, "length_penalty"),
    ],
)
def test_what_cannot_be_searched_is_refused(harness, params, error, words):
    engine = harness.engine(max_sequences=4)
    with pytest.raises(error, match=words):
        engine.add_request([1, 2], SamplingParams(**params))


def test_an_abort_frees_every_beam(make_harness):
    engine = make_harness(eager_to_end).engine()
    number = engine.add_request([1] * 9, SamplingParams(num_beams=3, max_new_tokens=60))
    for _ in range(4):
        engine.step()
    engine.abort(number)
    engine.step()
    assert engine.stats().free_blocks == engine.limits.num_blocks
    assert not engine.has_work


def test_a_search_without_tokens_that_may_come_next_ends_with_an_error(make_harness):
    harness = make_harness(eager_to_end)
    engine = harness.engine()
    every = tuple((token,) for token in range(1, 97))
    params = SamplingParams(num_beams=3, max_new_tokens=8, min_new_tokens=2, bad_words_ids=every)
    number = engine.add_request([4, 5], params)
    [event] = harness.run(engine)[number]
    assert "Every token is banned" in event.error
    assert engine.stats().free_blocks == engine.limits.num_blocks


def test_a_beam_without_tokens_that_may_come_next_leaves_the_others(make_harness):
    """After token 7 nothing may come; what has ended, and other beams, are the answer."""
    harness = make_harness(lambda context: np.eye(97, dtype=np.float32)[7] * 5)
    after = tuple((7, token) for token in range(97))
    params = SamplingParams(num_beams=2, max_new_tokens=3, bad_words_ids=after, ignore_eos=True)
    [answer] = harness.generate(harness.engine(), [[5]], params)
    assert answer[:-1].count(7) == 0
    assert len(answer) == 3
