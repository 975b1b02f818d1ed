"""Samples of `max_seq_length` + 1 tokens that run across documents, in an order set by a seed.

The documents of the split, one after the other, are one ring of N tokens. An epoch cuts the ring
into S = (N - 1) // T windows of T + 1 tokens (the last token of one is the first of the next,
so that every target is predicted once); where the cutting starts and the order of the windows
change with every epoch. Nothing is indexed: window -> slice of the memory map.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_data.errors import SampleError
from llm_data.indexed import IndexedDataset
from llm_data.indexed.layout import IntArray
from llm_data.pretrain.permutation import mix, permuted


class PretrainDataset:
    """`dataset[i]` -> `input_ids` and `labels`, both int64 [T]; labels are shifted already."""

    def __init__(
        self,
        data: IndexedDataset,
        max_seq_length: int,
        *,
        documents: range | None = None,
        num_samples: int | None = None,
        seed: int = 42,
        shuffle: bool = True,
        name: str = "data",
    ) -> None:
        """documents: part of the data, all by default. num_samples: length, default one epoch.

        shuffle: False keeps the order of the file in every epoch, for evaluation.
        name: how messages call this part ("training", "validation").
        Raises SampleError when the part is too short for one sample.
        """
        documents = range(len(data)) if documents is None else documents
        self.data = data
        self.max_seq_length = max_seq_length
        self.seed = seed
        self.shuffle = shuffle
        self._begin = data.offset(documents.start)
        self.num_tokens = data.offset(documents.stop) - self._begin
        self.samples_per_epoch = max(self.num_tokens - 1, 0) // max_seq_length
        if max_seq_length < 1 or self.samples_per_epoch == 0:
            message = (
                f"The {name} part of {data.prefix} has {self.num_tokens} tokens in "
                f"{len(documents)} documents, one sample of max_seq_length {max_seq_length} needs "
                f"{max_seq_length + 1}. Use more data, a shorter max_seq_length, or another split."
            )
            raise SampleError(message)
        self._length = self.samples_per_epoch if num_samples is None else num_samples

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """Sample `index`; beyond one epoch the data are gone through again in another order."""
        if not -self._length <= index < self._length:
            message = f"Sample {index} does not exist: there are {self._length}."
            raise IndexError(message)
        return self.sample(index % self._length)

    def sample(self, index: int) -> dict[str, IntArray]:
        """Sample `index` >= 0, however many epochs that takes."""
        window = self.window(index).astype(np.int64)
        return {"input_ids": window[:-1], "labels": window[1:]}

    def window(self, index: int) -> IntArray:
        """The T + 1 stored ids of sample `index`."""
        start = self.position(index)
        stop = start + self.max_seq_length + 1
        ring = self.data.tokens[self._begin : self._begin + self.num_tokens]
        if stop <= ring.size:
            return ring[start:stop]
        return np.concatenate([ring[start:], ring[: stop - ring.size]])

    def position(self, index: int) -> int:
        """Where on the ring of N tokens sample `index` begins."""
        epoch, place = divmod(index, self.samples_per_epoch)
        if not self.shuffle:
            return place * self.max_seq_length
        key = mix(mix(self.seed) ^ epoch)
        place = permuted(place, self.samples_per_epoch, key)
        shift = mix(key) % self.num_tokens if epoch else 0
        return (shift + place * self.max_seq_length) % self.num_tokens

    def describe(self) -> dict[str, Any]:
        """Figures for a log line: tokens, samples of one epoch, epochs asked for."""
        return {
            "tokens": self.num_tokens,
            "samples_per_epoch": self.samples_per_epoch,
            "epochs": self._length / self.samples_per_epoch,
        }
