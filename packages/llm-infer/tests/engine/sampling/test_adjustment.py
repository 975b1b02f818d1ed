"""Penalties, biases and bans against their definitions, one token at a time in float64."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampling import RowState, sample
from llm_infer.engine.sampling.adjustment import adjust
from llm_infer.errors import SamplingError

V = 30


def defined(logits, params, prompt, answer, ending):
    """Adjusted logits [V] as the definitions read, float64."""
    found = logits.astype(np.float64)
    for token in range(V):
        found[token] += params.logit_bias.get(token, 0.0)
        if token in prompt or token in answer:
            factor = params.repetition_penalty
            found[token] = found[token] / factor if found[token] > 0 else found[token] * factor
        count = answer.count(token)
        found[token] -= params.presence_penalty * (count > 0) + params.frequency_penalty * count
    if len(answer) < params.min_new_tokens:
        found[list(ending)] = -np.inf
    text = [*prompt, *answer]
    for *before, last in params.bad_words_ids:
        if not before or text[-len(before) :] == before:
            found[last] = -np.inf
    return found


CASES = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "presence_penalty": 0.5},
    {"frequency_penalty": 1.1},
    {"presence_penalty": -0.4, "frequency_penalty": -0.3},
    {"logit_bias": {3: 2.5, 7: -100.0}},
    {"logit_bias": {1: 1.0}, "repetition_penalty": 2.0, "frequency_penalty": 0.2},
    {"bad_words_ids": ((4,), (5, 6), (9, 8, 7))},
    {"min_new_tokens": 3},
    {"min_new_tokens": 9, "presence_penalty": 2.0, "bad_words_ids": ((2,),)},
]


def test_a_batch_against_the_definitions():
    random = np.random.default_rng(0)
    ending = [0, 11]
    rows, expected, logits = [], [], []
    for case in CASES * 6:
        prompt = random.integers(0, V, random.integers(0, 12)).tolist()
        answer = random.integers(0, V, random.integers(0, 12)).tolist()
        if "bad_words_ids" in case:
            answer += [[5], [9, 8], [8]][len(rows) % 3]
        params = SamplingParams(**case)
        row = RowState(params, prompt, ending)
        for token in answer:
            row.accept(token)
        rows.append(row)
        logits.append(random.standard_normal(V).astype(np.float32) * 4)
        expected.append(defined(logits[-1], params, prompt, answer, ending))
    batch = np.array(logits)
    adjust(batch, rows)
    np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=1e-6)


def test_a_row_changes_no_other_and_not_the_logits_themselves():
    logits = np.random.default_rng(1).standard_normal((4, V)).astype(np.float32)
    before = logits.copy()
    many = [SamplingParams(**CASES[index]) for index in (0, 2, 4)] + [SamplingParams()]
    rows = [RowState(params, [1, 2], []) for params in many]
    together = [sample(logits, rows) for _ in range(3)]
    np.testing.assert_array_equal(logits, before)
    for index, params in enumerate(many):
        row = RowState(params, [1, 2], [])
        alone = [sample(logits[index : index + 1], [row])[0] for _ in range(3)]
        assert alone == [tokens[index] for tokens in together]


def test_barred_words_never_come_and_their_beginnings_may():
    logits = np.array([[0.0, 3.0, 2.0, 1.0]], np.float32)
    row = RowState(SamplingParams(bad_words_ids=((1, 1),)), [], [])
    assert [sample(logits, [row])[0] for _ in range(4)] == [1, 2, 1, 2]
    row = RowState(SamplingParams(bad_words_ids=((1,), (2, 2))), [2], [])
    assert [sample(logits, [row])[0] for _ in range(3)] == [3, 2, 3]


def test_counts_of_many_tokens():
    row = RowState(SamplingParams(frequency_penalty=1.0, repetition_penalty=1.1), range(500), [])
    for token in [*range(200), *range(100)]:
        row.accept(token)
    assert row.seen is not None
    assert row.made is not None
    assert len(row.seen.ids) == 500
    assert dict(zip(row.made.ids.tolist(), row.made.counts.tolist(), strict=True)) == {
        token: 2 if token < 100 else 1 for token in range(200)
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"presence_penalty": 2.1}, "presence_penalty is 2.1; it must be between -2.0 and 2.0"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty"),
        ({"logit_bias": {4: float("inf")}}, "logit_bias of token 4"),
        ({"min_p": 1.5}, "min_p is 1.5"),
        ({"bad_words_ids": ((),)}, "empty list"),
        ({"logprobs": 21}, "logprobs is 21; it must be between 0 and 20"),
    ],
)
def test_values_out_of_range_are_refused(values, words):
    with pytest.raises(SamplingError, match=words):
        SamplingParams(**values)
