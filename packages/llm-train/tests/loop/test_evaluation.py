"""Held-out figures are means over tokens, whatever the batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
import pytest

from llm_train.errors import BatchError
from llm_train.loop.data import TrainingData, stacked
from llm_train.loop.evaluation import evaluate


class Parity(paddle.nn.Layer):
    """Knows whether the next token is even; says so with logit 2."""

    def forward(self, input_ids: paddle.Tensor) -> paddle.Tensor:
        """[B, T] -> [B, T, 2]"""
        return paddle.nn.functional.one_hot(input_ids % 2, 2) * 2.0


def samples() -> list[dict[str, np.ndarray]]:
    ids = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]])
    labels = np.array([[0, 1, 1, -100], [-100] * 3 + [0], [-100, 0, 0, 1]])
    return [{"input_ids": a, "labels": b} for a, b in zip(ids, labels, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_figures_do_not_depend_on_the_batch_size(size: int) -> None:
    rows: Any = samples()
    figures = evaluate(Parity(), TrainingData(rows, stacked), rows, size)
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    loss = (6 * right + wrong) / 7
    assert figures["eval_loss"] == pytest.approx(loss, rel=1e-6)
    assert figures["eval_ppl"] == pytest.approx(math.exp(loss), rel=1e-6)
    assert figures["eval_accuracy"] == pytest.approx(6 / 7)
    assert figures["eval_tokens"] == 7


def test_a_limit_takes_the_first_batches() -> None:
    rows: Any = samples()
    assert evaluate(Parity(), TrainingData(rows, stacked), rows, 1, 2)["eval_tokens"] == 4


def test_nothing_to_evaluate_is_an_error() -> None:
    rows: Any = [{"input_ids": np.zeros(2, np.int64), "labels": np.full(2, -100)}]
    with pytest.raises(BatchError, match="1 held-out samples"):
        evaluate(Parity(), TrainingData(rows, stacked), rows, 1)
