"""Several datasets one after the other: every sample of each exactly once.

What held-out data need: a blend by weight would repeat the samples of one dataset and leave out
some of another, and the loss would be that of neither.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from llm_data.indexed.layout import IntArray
from llm_data.pretrain.dataset import PretrainDataset


class ConcatenatedDataset:
    """`dataset[i]` is a sample of the first dataset, then of the second, and so on."""

    def __init__(self, datasets: Sequence[PretrainDataset]) -> None:
        """datasets: each with the length it was made with."""
        self.datasets = list(datasets)
        self._ends = list(accumulate(len(dataset) for dataset in datasets))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """`input_ids` and `labels`, int64 [T]."""
        length = len(self)
        if not -length <= index < length:
            message = f"Sample {index} does not exist: there are {length}."
            raise IndexError(message)
        index %= length
        dataset = bisect_right(self._ends, index)
        return self.datasets[dataset][index - (self._ends[dataset - 1] if dataset else 0)]
