"""Common beginnings are read once, and the tokens are those of an engine that reads everything."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import PrefixLayout, SamplingParams

GREEDY = SamplingParams(max_new_tokens=12)


def beginnings(harness, count=12, seed=1):
    """Prompts of which many share a beginning, of any length."""
    random = np.random.default_rng(seed)
    trunk = random.integers(1, 97, 40).tolist()
    tails = [random.integers(1, 97, random.integers(1, 9)).tolist() for _ in range(count)]
    return [trunk[: random.integers(0, 41)] + tail for tail in tails]


@pytest.mark.parametrize("max_batch_tokens", [5, 2048])
@pytest.mark.parametrize("num_blocks", [16, 400])
def test_the_same_tokens_with_and_without(harness, num_blocks, max_batch_tokens):
    prompts = beginnings(harness)
    sizes = {"num_blocks": num_blocks, "max_batch_tokens": max_batch_tokens}
    engine = harness.engine(**sizes)
    answers = harness.generate(engine, prompts, GREEDY) + harness.generate(engine, prompts, GREEDY)
    assert answers == 2 * [harness.expected(prompt, 12) for prompt in prompts]
    stats = engine.stats()
    assert stats.cached_tokens > 0
    assert stats.free_blocks == num_blocks
    without = harness.engine(prefix_cache=False, **sizes)
    assert harness.generate(without, prompts, GREEDY) == answers[: len(prompts)]
    assert (without.stats().cached_tokens, without.stats().cached_blocks) == (0, 0)


def test_hits_are_counted_and_not_read_again(harness):
    engine = harness.engine()
    prompt = list(range(1, 20))
    harness.generate(engine, [prompt], SamplingParams(max_new_tokens=1))
    assert engine.stats().cached_tokens == 0
    read = sum(engine.runner.batch_tokens)
    harness.generate(engine, [prompt], SamplingParams(max_new_tokens=1))
    # 19 tokens fill 4 blocks of 4; the 3 that are left are read.
    assert engine.stats().cached_tokens == 16
    assert sum(engine.runner.batch_tokens) - read == 3


def test_the_last_token_is_always_read(harness):
    engine = harness.engine()
    prompt = list(range(1, 9))
    answers = [harness.generate(engine, [prompt], GREEDY)[0] for _ in range(3)]
    assert answers == [harness.expected(prompt, 12)] * 3
    # Both blocks are full, but the second one holds the token whose logits are wanted.
    assert engine.stats().cached_tokens == 2 * 4


def test_answers_are_found_again_as_part_of_the_next_prompt(harness):
    engine = harness.engine()
    first = list(range(1, 10))
    answer = harness.generate(engine, [first], SamplingParams(max_new_tokens=9, ignore_eos=True))[0]
    harness.generate(engine, [[*first, *answer, 5, 6]], GREEDY)
    assert engine.stats().cached_tokens == 16


def test_what_is_evicted_is_read_again(harness):
    engine = harness.engine(num_blocks=8)
    prompts = [[number] * 20 for number in (1, 2, 3, 1)]
    answers = [harness.generate(engine, [prompt], GREEDY)[0] for prompt in prompts]
    assert answers == [harness.expected(prompt, 12) for prompt in prompts]
    assert engine.stats().cached_tokens == 0


def test_a_preempted_sequence_finds_its_own_blocks(harness):
    prompts = harness.prompts(8, 6, 8, seed=3)
    params = SamplingParams(max_new_tokens=40, ignore_eos=True, temperature=1.0, seed=7)
    engine = harness.engine(num_blocks=14)
    answers = harness.generate(engine, prompts, params)
    stats = engine.stats()
    assert stats.preemptions > 0
    assert stats.cached_tokens > 0
    assert answers == harness.generate(harness.engine(prefix_cache=False), prompts, params)


def test_it_is_off_where_prompt_tokens_see_those_behind_them(harness):
    from llm_infer.engine import Engine, EngineLimits

    limits = EngineLimits(num_blocks=9, max_positions=99, vocab_size=97)
    layout = PrefixLayout(2, (3,))
    assert not Engine(harness.engine().runner, limits, layout=layout).prefix_cache
    assert Engine(harness.engine().runner, limits).prefix_cache
