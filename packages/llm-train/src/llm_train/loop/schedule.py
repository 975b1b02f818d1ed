"""The learning rate as a pure function of the step, with PaddleNLP's schedules and names."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """`rate(step)` for optimizer steps 0, 1, 2, ... of `total`.

    `minimum` is where linear and cosine end (PaddleNLP's min_learning_rate; 0 without one).
    `end` and `power` belong to polynomial.
    """

    kind: str
    peak: float
    total: int
    warmup: int = 0
    minimum: float = 0.0
    end: float = 1e-7
    power: float = 1.0
    cycles: float = 0.5

    def rate(self, step: int) -> float:
        """The learning rate of optimizer step `step`, the first being 0."""
        if self.kind == "constant":
            return self.peak
        if step < self.warmup:
            return self.peak * step / self.warmup
        if self.kind == "constant_with_warmup":
            return self.peak
        done = min((step - self.warmup) / max(self.total - self.warmup, 1), 1.0)
        if self.kind == "polynomial":
            return self.end + (self.peak - self.end) * (1.0 - done) ** self.power
        if self.kind == "cosine":
            left = max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * self.cycles * done)))
        else:
            left = 1.0 - done
        return self.minimum + (self.peak - self.minimum) * left
