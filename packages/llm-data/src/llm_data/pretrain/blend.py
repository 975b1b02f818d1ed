"""Several datasets mixed by weight, sample by sample, without an index over all samples.

The weights become a repeating pattern of `PERIOD` slots; slot -> (dataset, how many of its samples
came before). So any number of samples costs one small table, and every stretch of the run has
the mixture asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llm_data.errors import SampleError
from llm_data.indexed import find_prefixes
from llm_data.indexed.layout import IntArray
from llm_data.pretrain.dataset import PretrainDataset

PERIOD = 10_000
"""Slots of the pattern: weights are kept to 1 in 10,000."""


def parse_input_dir(input_dir: str) -> list[tuple[float, Path]]:
    """(weight, prefix) of each dataset that `--input_dir` names.

    Either a folder, a prefix, or "0.3 prefix 0.7 prefix" (commas work too; folders may stand for
    prefixes). A folder of several prefixes gives each weight 1, that is equal shares.
    Raises SampleError for weights that are not positive numbers.
    """
    words = input_dir.replace(",", " ").split()
    try:
        float(words[0] if words else "")
    except ValueError:
        return [(1.0, prefix) for prefix in find_prefixes(input_dir)]
    pairs: list[tuple[float, Path]] = []
    for weight, place in zip(words[::2], [*words[1::2], ""], strict=False):
        try:
            value = float(weight)
        except ValueError:
            value = -1.0
        if not place or not 0 < value < float("inf"):
            message = (
                f"--input_dir {input_dir!r} is not understood: write weights and prefixes in "
                'turn, as in "0.3 data/a 0.7 data/b", each weight above 0.'
            )
            raise SampleError(message)
        prefixes = find_prefixes(place)
        pairs += [(value / len(prefixes), prefix) for prefix in prefixes]
    return pairs


class BlendedDataset:
    """`dataset[i]` is a sample of one of the datasets, in the proportion of `weights`."""

    def __init__(
        self, datasets: Sequence[PretrainDataset], weights: Sequence[float], num_samples: int
    ) -> None:
        """Raises SampleError when a weight is below 1 in 10,000 of the sum, or counts differ."""
        if not datasets or len(datasets) != len(weights):
            message = f"{len(datasets)} datasets and {len(weights)} weights: one weight each."
            raise SampleError(message)
        self.datasets = list(datasets)
        self._length = num_samples
        self._counts = _slots(weights)
        self._dataset, self._rank = _pattern(self._counts)

    def __len__(self) -> int:
        return self._length

    def source(self, index: int) -> tuple[int, int]:
        """(dataset, index in that dataset) of sample `index`."""
        turn, slot = divmod(index, PERIOD)
        dataset = int(self._dataset[slot])
        return dataset, turn * int(self._counts[dataset]) + int(self._rank[slot])

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """`input_ids` and `labels`, int64 [T]."""
        if not -self._length <= index < self._length:
            message = f"Sample {index} does not exist: there are {self._length}."
            raise IndexError(message)
        dataset, place = self.source(index % self._length)
        return self.datasets[dataset].sample(place)


def _slots(weights: Sequence[float]) -> IntArray:
    """Slots of the pattern that each dataset gets, by largest remainder; they sum to PERIOD."""
    shares = np.asarray(weights, dtype=np.float64)
    if not np.all(shares > 0) or np.any(shares < shares.sum() / PERIOD):
        message = f"Weights {list(weights)}: each must be above 1 in {PERIOD:,} of their sum."
        raise SampleError(message)
    exact = shares / shares.sum() * PERIOD
    counts = np.floor(exact).astype(np.int64)
    missing = PERIOD - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:missing]] += 1
    return counts


def _pattern(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Dataset of each slot, evenly interleaved, and how many of its slots came before."""
    dataset = np.repeat(np.arange(counts.size), counts)
    rank = np.concatenate([np.arange(count) for count in counts])
    order = np.argsort((rank + 0.5) / counts[dataset], kind="stable")
    return dataset[order], rank[order]
