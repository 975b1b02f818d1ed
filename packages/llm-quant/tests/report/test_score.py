"""Loss, KL and agreement against float64 formulas, whatever the chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from llm_quant.errors import QuantError
from llm_quant.report.score import check_vocabulary, log_softmax, score
from llm_quant.report.windows import Window

VOCAB = 23


class Table:
    """A model whose logits depend on the token alone: row i of a table [V, V]."""

    def __init__(self, seed: int, chunk: int = 7) -> None:
        self.chunk = chunk
        self.logits = np.random.default_rng(seed).standard_normal((VOCAB, VOCAB)) * 3
        self.reads: list[int] = []

    def read(self, ids: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
        for start in range(0, len(ids), chunk):
            self.reads.append(len(ids[start : start + chunk]))
            yield self.logits[ids[start : start + chunk]].astype(np.float32)


def windows(seed: int) -> list[Window]:
    rng = np.random.default_rng(seed)
    return [
        Window(rng.integers(0, VOCAB, size + 1), rng.random(size) < 0.7) for size in (20, 7, 1, 15)
    ]


def exact(table: Table, given: list[Window]) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities float64 of all scored predictions [n, V] and their targets [n]."""
    inputs = np.concatenate([w.ids[:-1][w.scored] for w in given])
    targets = np.concatenate([w.ids[1:][w.scored] for w in given])
    rows = table.logits[inputs]
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)), targets


def test_sums_equal_the_formulas() -> None:
    models, given = [Table(1), Table(2, chunk=5)], windows(3)
    told: list[int] = []
    first, second = score(models, given, told.append)
    logs = [exact(model, given)[0] for model in models]
    targets = exact(models[0], given)[1]
    rows = np.arange(len(targets))
    for found, expected in zip((first, second), logs, strict=True):
        assert found.tokens == len(targets) == sum(told)
        loss = -expected[rows, targets].mean()
        assert found.loss == pytest.approx(loss, rel=1e-5)
        assert found.perplexity == pytest.approx(np.exp(loss), rel=1e-5)
        assert found.accuracy == pytest.approx((expected.argmax(1) == targets).mean())
    assert (first.kl, first.agreement) == (0, 1)
    kl = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean()
    assert second.kl == pytest.approx(kl, rel=1e-4)
    agreed = (logs[0].argmax(1) == logs[1].argmax(1)).mean()
    assert 0 < agreed < 1
    assert second.agreement == pytest.approx(agreed)
    # Both read the same chunks, the smaller of what each asks for.
    assert models[0].reads == models[1].reads
    assert max(models[0].reads) == 5


def test_log_softmax_survives_large_logits() -> None:
    logits = np.array([[1000.0, 999.0, -1000.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), [[0.7310586, 0.2689414, 0]], atol=1e-6)


def test_models_of_different_vocabularies_are_refused() -> None:
    with pytest.raises(QuantError, match=r"vocabularies of \[23, 24\]"):
        check_vocabulary({24, 23}, windows(0))


def test_tokens_beyond_the_vocabulary_are_refused() -> None:
    given = [Window(np.array([1, VOCAB]), np.ones(1, dtype=bool))]
    with pytest.raises(QuantError, match=f"token {VOCAB}, the models know {VOCAB}"):
        check_vocabulary({VOCAB}, given)
