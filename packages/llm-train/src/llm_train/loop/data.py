"""What a run is given: samples in an order, and how the model gets to and from a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

Sample: TypeAlias = Mapping[str, np.ndarray]
Batch: TypeAlias = dict[str, np.ndarray]


class Samples(Protocol):
    """A data set: `samples[i]` holds int64 [T] arrays, `input_ids` and shifted `labels` or more."""

    def __len__(self) -> int:
        """S, the number of samples."""

    def __getitem__(self, index: int, /) -> Sample:
        """Sample `index`, 0 to S - 1."""


@dataclass(frozen=True)
class TrainingData:
    """The data of a run.

    `collate` makes one batch of [B, T] arrays of a few samples; labels of filling are -100.
    `epoch` is the number of samples after which the data repeats (default: all of `train`).
    `shuffle`: the loop orders every epoch anew by the seed; False: the data set orders itself.
    """

    train: Samples
    collate: Callable[[Sequence[Any]], Batch]
    valid: Samples | None = None
    test: Samples | None = None
    epoch: int | None = None
    shuffle: bool = True

    @property
    def epoch_samples(self) -> int:
        """Samples of one epoch."""
        return self.epoch or len(self.train)


class ModelFiles(Protocol):
    """How a model is kept; `save` and `load` are each other's inverse for what is trained."""

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing empty folder."""

    def load(self, folder: Path) -> None:
        """Set the model's weights from a folder that `save` filled."""


def stacked(samples: Sequence[Sample]) -> Batch:
    """Samples of one length as [B, T] arrays."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
