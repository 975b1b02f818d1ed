from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.reference import mix_experts, route, sigmoid, softmax


@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.integers(1, 9),
    count=st.integers(1, 5),
    renormalize=st.booleans(),
)
def test_mixture_is_the_sum_over_each_tokens_best_experts(
    seed: int, tokens: int, count: int, renormalize: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((tokens, 5)).astype(np.float32)
    x = rng.standard_normal((tokens, 7)).astype(np.float32)
    weights = rng.standard_normal((5, 7, 7)).astype(np.float32)
    experts, shares = route(logits, count, renormalize=renormalize)
    mixed = mix_experts(x, experts, shares, lambda index, rows: rows @ weights[index])
    for token in range(tokens):
        probabilities = softmax(logits[token : token + 1])[0].astype(np.float64)
        best = sorted(range(5), key=lambda index: -probabilities[index])[:count]
        total = sum(probabilities[index] for index in best) if renormalize else 1.0
        expected = sum(probabilities[i] / total * (x[token] @ weights[i]) for i in best)
        np.testing.assert_allclose(mixed[token], expected, atol=1e-5)


def test_each_expert_runs_once_and_only_when_chosen() -> None:
    seen: list[tuple[int, int]] = []

    def expert(index: int, rows: np.ndarray) -> np.ndarray:
        seen.append((index, len(rows)))
        return rows

    x = np.ones((3, 2), np.float32)
    mix_experts(x, np.array([[0, 2], [2, 0], [2, 4]]), np.ones((3, 2), np.float32), expert)
    assert seen == [(0, 2), (2, 3), (4, 1)]


def test_of_equal_logits_the_lower_index_wins() -> None:
    experts, _ = route(np.zeros((1, 4), np.float32), 2, renormalize=True)
    assert experts.tolist() == [[0, 1]]


@given(
    seed=st.integers(0, 2**32 - 1),
    open_groups=st.integers(1, 4),
    best=st.integers(1, 2),
    corrected=st.booleans(),
)
def test_only_experts_of_the_best_groups_are_chosen(
    seed: int, open_groups: int, best: int, corrected: bool
) -> None:
    """Written out for one token at a time: 4 groups of 3 experts, 2 of them chosen."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((5, 12)).astype(np.float32)
    correction = rng.random(12).astype(np.float32) if corrected else None
    experts, weights = route(
        logits,
        2,
        renormalize=True,
        scores="sigmoid",
        correction=correction,
        groups=4,
        open_groups=open_groups,
        best=best,
        scale=1.5,
    )
    for token in range(5):
        scores = sigmoid(logits[token])
        worth = scores + (0 if correction is None else correction)
        groups = [sum(sorted(worth[g * 3 : g * 3 + 3])[-best:]) for g in range(4)]
        opened = sorted(range(4), key=lambda g: -groups[g])[:open_groups]
        among = [g * 3 + i for g in opened for i in range(3)]
        expected = sorted(among, key=lambda e: -worth[e])[:2]
        assert experts[token].tolist() == expected
        total = sum(scores[e] for e in expected)
        np.testing.assert_allclose(
            weights[token], [1.5 * scores[e] / total for e in expected], rtol=1e-5
        )


def test_a_correction_moves_the_choice_but_not_the_weights() -> None:
    logits = np.array([[2.0, 1.0, 0.0]], np.float32)
    correction = np.array([0.0, 0.0, 9.0], np.float32)
    experts, weights = route(logits, 1, renormalize=False, scores="sigmoid", correction=correction)
    assert experts.tolist() == [[2]]
    np.testing.assert_allclose(weights, [[0.5]])
