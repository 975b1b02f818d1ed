"""Early stopping: a run ends when evaluations have not got better for some time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Patience:
    """Counts evaluations without a better figure; `limit` of them end the run, 0: never.

    `sign` is 1 where greater is better, else -1; `threshold` is by how much it must be better.
    """

    limit: int
    sign: int
    threshold: float = 0.0
    best: float | None = None
    waited: int = 0

    def look(self, value: float) -> bool:
        """Take a figure in; whether the run should end."""
        if self.best is None or self.sign * (value - self.best) > self.threshold:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return 0 < self.limit <= self.waited

    def state(self) -> dict[str, float | None]:
        """What a resumed run must know."""
        return {"best": self.best, "waited": self.waited}
