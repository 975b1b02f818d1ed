"""Loss, KL divergence and agreement of several models that read the same windows in step.

Works on logits alone: a reader is anything with `chunk` and `read(ids, chunk)`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llm_quant.errors import QuantError
from llm_quant.report.windows import Window


class LogitReader(Protocol):
    """What scoring needs of a model."""

    chunk: int

    def read(self, ids: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
        """Logits float32 [<= chunk, V] for ids [T], in order."""
        ...


@dataclass
class Score:
    """Sums over the scored targets of one model; read the properties."""

    tokens: int = 0
    seconds: float = 0.0
    _loss: float = 0.0
    _kl: float = 0.0
    _agreed: int = 0
    _right: int = 0

    @property
    def loss(self) -> float:
        """Mean negative log likelihood in nats a token."""
        return self._loss / self.tokens

    @property
    def perplexity(self) -> float:
        """e**loss; infinite where that overflows."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def kl(self) -> float:
        """Mean KL divergence KL(first || this) in nats a token."""
        return self._kl / self.tokens

    @property
    def agreement(self) -> float:
        """Share of targets where this model's likeliest token is the first model's."""
        return self._agreed / self.tokens

    @property
    def accuracy(self) -> float:
        """Share of targets that are this model's likeliest token."""
        return self._right / self.tokens

    def add(self, logs: np.ndarray, first: np.ndarray, targets: np.ndarray) -> None:
        """Add log probabilities float32 [T, V] beside the first model's, for targets [T]."""
        best = logs.argmax(axis=-1)
        self.tokens += targets.size
        self._loss -= float(logs[np.arange(targets.size), targets].sum(dtype=np.float64))
        self._agreed += int((best == first.argmax(axis=-1)).sum())
        self._right += int((best == targets).sum())
        if logs is not first:
            self._kl += float((np.exp(first) * (first - logs)).sum(dtype=np.float64))


def score(
    readers: Sequence[LogitReader],
    windows: Sequence[Window],
    advance: Callable[[int], None],
) -> list[Score]:
    """Score every model on every window; `advance` is told of finished targets.

    `check_vocabulary` must have passed.
    """
    scores = [Score() for _ in readers]
    chunk = min(reader.chunk for reader in readers)
    for window in windows:
        inputs = window.ids[:-1]
        streams = [reader.read(inputs, chunk) for reader in readers]
        for start in range(0, inputs.size, chunk):
            rows = np.flatnonzero(window.scored[start : start + chunk])
            targets = window.ids[1 + start : 1 + start + chunk][rows]
            first: np.ndarray | None = None
            for stream, total in zip(streams, scores, strict=True):
                begun = time.perf_counter()
                logits = next(stream)
                total.seconds += time.perf_counter() - begun
                logs = log_softmax(logits[rows])
                first = logs if first is None else first
                total.add(logs, first, targets)
            advance(targets.size)
    return scores


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities float32 [T, V] of logits float32 [T, V]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def check_vocabulary(sizes: Collection[int], windows: Sequence[Window]) -> None:
    """Refuse models of different vocabularies and tokens outside; raises QuantError."""
    if len(sizes) > 1:
        message = (
            f"The models have vocabularies of {sorted(sizes)} tokens; only models with one "
            "vocabulary can be compared."
        )
        raise QuantError(message)
    highest = max(int(window.ids.max()) for window in windows)
    if highest >= min(sizes):
        message = (
            f"The data holds token {highest}, the models know {min(sizes)} tokens: it was "
            "tokenized with another tokenizer."
        )
        raise QuantError(message)
