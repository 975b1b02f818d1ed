"""The sampler against probabilities computed in float64 the long way."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampling import RowState, distribution, sample
from llm_infer.errors import SamplingError


def reference(logits: np.ndarray, params: SamplingParams) -> np.ndarray:
    """Probabilities [V] by sorting everything."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    weights = np.exp((logits - logits.max()).astype(np.float64)[order] / params.temperature)
    if params.top_k:
        weights[params.top_k :] = 0
    before = np.cumsum(weights / weights.sum()) - weights / weights.sum()
    weights[before >= params.top_p] = 0
    probabilities = np.empty_like(weights)
    probabilities[order] = weights / weights.sum()
    return probabilities


@pytest.mark.parametrize("vocab", [50, 5000])
@pytest.mark.parametrize("top_k", [0, 7, 49, 10_000])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_filters(vocab, top_k, top_p, temperature):
    logits = np.random.default_rng(vocab + top_k).standard_normal(vocab).astype(np.float32) * 3
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
    candidates, weights = distribution(logits, params)
    found = np.zeros(vocab)
    found[candidates] = weights / weights.sum()
    np.testing.assert_allclose(found, reference(logits, params), rtol=1e-6, atol=1e-12)


def test_frequencies_follow_the_distribution():
    logits = np.random.default_rng(3).standard_normal(12).astype(np.float32)
    params = SamplingParams(temperature=0.7, top_k=8, top_p=0.9, seed=5)
    row = RowState(params, [], [])
    drawn = np.bincount(
        [sample(logits[None], [row])[0] for _ in range(20_000)], minlength=len(logits)
    )
    expected = reference(logits, params) * 20_000
    assert (drawn[expected == 0] == 0).all()
    kept = expected > 0
    # Chi-squared with at most 7 degrees of freedom stays below 30 but once in 10,000.
    assert ((drawn - expected)[kept] ** 2 / expected[kept]).sum() < 30


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=1.5, top_k=1),
        SamplingParams(temperature=1.5, top_p=0),
        SamplingParams(temperature=0, top_k=40, top_p=0.5),
    ],
)
def test_greedy_takes_the_likeliest_and_the_lowest_of_equals(params):
    logits = np.array([[1, 3, 3, 2], [9, 1, 2, 3]], np.float32)
    assert sample(logits, [RowState(params, [], []) for _ in range(2)]) == [1, 0]


def test_repetition_penalty_lowers_what_was_seen_in_prompt_and_answer():
    logits = np.array([[2.0, 1.9, -1.0, -1.1]], np.float32)
    row = RowState(SamplingParams(repetition_penalty=1.2), [0], [])
    # 2.0 / 1.2 = 1.67 < 1.9; once token 1 is seen, 1.9 / 1.2 = 1.58 < 1.67.
    assert [sample(logits, [row])[0] for _ in range(2)] == [1, 0]
    negative = np.array([[-5.0, -1.0, -1.1]], np.float32)
    row = RowState(SamplingParams(repetition_penalty=1.2), [1], [])
    assert sample(negative, [row]) == [2]
    assert logits[0].tolist() == pytest.approx([2.0, 1.9, -1.0, -1.1])


def test_ending_tokens_wait_for_min_new_tokens():
    logits = np.array([[0.0, 1.0, 5.0, 4.0]], np.float32)
    row = RowState(SamplingParams(min_new_tokens=2, max_new_tokens=9), [], [2, 3])
    assert [sample(logits, [row])[0] for _ in range(3)] == [1, 1, 2]


def test_a_row_does_not_depend_on_its_neighbours():
    random = np.random.default_rng(8)
    logits = random.standard_normal((20, 3, 40)).astype(np.float32)
    many = [
        SamplingParams(temperature=1.0, seed=1),
        SamplingParams(),
        SamplingParams(temperature=0.8, top_p=0.7, repetition_penalty=1.3, seed=1),
    ]
    rows = [RowState(params, [4], []) for params in many]
    together = [sample(step, rows) for step in logits]
    for index, params in enumerate(many):
        row = RowState(params, [4], [])
        alone = [sample(step[index : index + 1], [row])[0] for step in logits]
        assert alone == [tokens[index] for tokens in together]


@pytest.mark.parametrize("temperature", [1e-5, 1e-6, 1e-308, 5e-324])
def test_tiny_temperatures_take_the_likeliest(temperature):
    logits = np.array([[1000.0, 2000.0, 1999.0, -3000.0]], np.float32)
    row = RowState(SamplingParams(temperature=temperature, seed=1), [], [])
    assert [sample(logits, [row])[0] for _ in range(5)] == [1] * 5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=1.0)])
def test_a_row_that_is_not_finite_gives_its_error_and_leaves_the_others(params, bad):
    logits = np.array([[1.0, bad, 2.0], [1.0, 3.0, 2.0]], np.float32)
    error, token = sample(logits, [RowState(params, [], []), RowState(SamplingParams(), [], [])])
    assert isinstance(error, SamplingError)
    assert token == 1


def test_a_row_of_nothing_but_minus_infinity_gives_an_error():
    logits = np.full((1, 3), -np.inf, np.float32)
    assert isinstance(sample(logits, [RowState(SamplingParams(), [], [])])[0], SamplingError)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_whose_tokens_are_all_barred_gives_an_error_and_leaves_the_others(temperature):
    logits = np.array([[1.0, 2.0, 3.0]] * 2, np.float32)
    barring = SamplingParams(
        temperature=temperature, min_new_tokens=1, bad_words_ids=((0,), (1,)), seed=1
    )
    error, token = sample(logits, [RowState(barring, [], [2]), RowState(barring, [], [])])
    assert isinstance(error, SamplingError)
    assert "Every token is banned" in str(error)
    assert token == 2
