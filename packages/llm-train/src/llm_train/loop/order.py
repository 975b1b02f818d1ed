"""Which samples a step trains on: a pure function of seed and position, so resuming is exact.

The run is one stream of positions 0, 1, 2, ...; step s takes the B positions from s * B on. With
`shuffle`, position p of epoch p // S is sample permutation[p % S] of that epoch's permutation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass
class SampleOrder:
    """The order of S = `samples` samples, B = `batch` a step, for `steps` steps from `start` on.

    `own`: the places of a step's samples that this process trains on; None: all.
    """

    samples: int
    batch: int
    steps: int
    seed: int
    shuffle: bool
    start: int = 0
    own: range | None = None
    _epoch: tuple[int, np.ndarray] | None = field(default=None, repr=False)

    def sample(self, position: int) -> int:
        """The sample at a position of the stream."""
        if not self.shuffle:
            return position
        epoch, place = divmod(position, self.samples)
        if self._epoch is None or self._epoch[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._epoch = (epoch, generator.permutation(self.samples))
        return int(self._epoch[1][place])

    def __iter__(self) -> Iterator[list[int]]:
        """This process's samples of each step, from `start` on."""
        own = range(self.batch) if self.own is None else self.own
        for step in range(self.start, self.steps):
            first = step * self.batch
            yield [self.sample(first + place) for place in own]

    def __len__(self) -> int:
        """All steps of the run, those before `start` included."""
        return self.steps
