"""A request's tokens, and the very bits of their log probabilities, do not depend on the batch."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import SamplingParams
from llm_infer.load import Backend, CacheSettings, Precision, Scheduling, load_engine

KINDS = [None, "weight_only_int4", "weight_only_int8"]
CACHE = CacheSettings(block_size=16)
FORGETFUL = CacheSettings(block_size=16, prefix_cache=False)
SETTINGS = [
    (CACHE, Scheduling(), 1),
    (FORGETFUL, Scheduling(), 1),
    (CACHE, Scheduling(max_batch_tokens=33), 1),
    (FORGETFUL, Scheduling(max_batch_tokens=40), 1),
    (
        CacheSettings(block_size=16, num_blocks=12),
        Scheduling(max_sequences=7, max_batch_tokens=12),
        1,
    ),
    (CACHE, Scheduling(speculate_ngram=2), 1),
    (CACHE, Scheduling(), 2),
]


def prompts():
    """32 prompts of any length up to 50; many begin the same and cross the borders of blocks."""
    random = np.random.default_rng(4)
    trunk = random.integers(1, 256, 40).tolist()
    tails = [random.integers(1, 256, random.integers(1, 11)).tolist() for _ in range(32)]
    return [trunk[: random.integers(0, 41)] + tail for tail in tails]


def params(index):
    """Greedy and seeded sampling in turn."""
    sampled = {"temperature": 0.9, "top_p": 0.95, "seed": index} if index % 2 else {}
    return SamplingParams(max_new_tokens=12, ignore_eos=True, logprobs=0, **sampled)


def answers(engine, run, indices):
    ids = [engine.add_request(prompts()[i], params(i)) for i in indices]
    events = run(engine)
    return [[(e.token_id, e.logprobs.logprob) for e in events[number]] for number in ids]


@pytest.fixture(scope="module")
def alone(golden):
    """The answers of each request alone in an engine without a prefix cache, by quant_type."""

    def one_by_one(quant_type):
        engine = load_engine(
            golden / "llama_v2_gqa",
            precision=Precision(quant_type=quant_type),
            cache=FORGETFUL,
            backend=Backend(threads=1),
        )

        def run(engine):
            events = {}
            while engine.has_work:
                for event in engine.step():
                    events.setdefault(event.request_id, []).append(event)
            return events

        return [answers(engine, run, [index])[0] for index in range(32)]

    return {kind: one_by_one(kind) for kind in KINDS}


@pytest.mark.parametrize(("cache", "scheduling", "threads"), SETTINGS)
@pytest.mark.parametrize("quant_type", KINDS)
def test_one_alone_equals_one_of_many(
    golden, make_harness, alone, quant_type, cache, scheduling, threads
):
    engine = load_engine(
        golden / "llama_v2_gqa",
        precision=Precision(quant_type=quant_type),
        cache=cache,
        scheduling=scheduling,
        backend=Backend(threads=threads),
    )
    assert answers(engine, make_harness.run, range(32)) == alone[quant_type]
    if cache.prefix_cache:
        # What is read at once is not known to each other: the second time, all of it is.
        assert answers(engine, make_harness.run, range(32)) == alone[quant_type]
        assert engine.stats().cached_tokens > 0
