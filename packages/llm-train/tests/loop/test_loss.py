"""Cross entropy against float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_train.loop.loss import hits, summed_loss, trained_tokens


def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, (2, 5))
    labels[0, :2] = labels[1, 3] = -100
    return rng.standard_normal((2, 5, 7)) * 3, labels


def test_the_sum_over_the_labels_that_count() -> None:
    logits, labels = case()
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    counted = labels != -100
    expected = -np.take_along_axis(logs, np.where(counted, labels, 0)[..., None], -1)[..., 0]
    actual = summed_loss(paddle.to_tensor(logits.astype(np.float32)), paddle.to_tensor(labels))
    assert actual.shape == []
    assert float(actual) == pytest.approx(expected[counted].sum(), rel=1e-5)
    assert trained_tokens(labels) == 7


def test_hits_are_the_most_likely_tokens_that_count() -> None:
    logits, labels = case()
    expected = ((logits.argmax(-1) == labels) & (labels != -100)).sum()
    assert expected > 0
    assert hits(paddle.to_tensor(logits), paddle.to_tensor(labels)) == expected


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_have_no_loss(wrong: float) -> None:
    logits, labels = case()
    for broken in (np.full_like(logits, wrong), np.where(labels[..., None] == 3, wrong, logits)):
        tensor = paddle.to_tensor(broken.astype(np.float32))
        assert np.isnan(float(summed_loss(tensor, paddle.to_tensor(labels))))
