"""Several samples in one row of `max_length` tokens (zero padding, InTokens).

Positions start again with every sample, and `segment_ids` (1, 2, ... in a row; 0: filling) say
which tokens belong together, so that attention can be kept inside a sample; a dense mask of
T x T is never built. Labels were shifted before, so no sample predicts the start of the next.

    packed = PackedDataset(dataset, max_length=2048)
    packed[0]      # input_ids, labels, position_ids, segment_ids: int64 [T], T <= 2048
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from llm_data.errors import SampleError
from llm_data.indexed.layout import IntArray

OPEN_ROWS = 256
"""Rows that may still take a sample; older and fuller ones are closed. Bounds time and memory."""


class Samples(Protocol):
    """What can be packed; `SftDataset` is one."""

    @property
    def lengths(self) -> IntArray:
        """T of every sample [S]."""

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """One sample, each field [T]."""


def pack(lengths: Sequence[int] | IntArray, max_length: int) -> list[list[int]]:
    """Samples of each row, best fit: a sample goes into the open row that it fills the most.

    lengths: tokens of each sample. Every sample is in exactly one row, in order within it; rows
    are ordered by their first sample. Raises SampleError when a sample is longer than a row.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.size and int(lengths.max()) > max_length:
        message = (
            f"Sample {int(lengths.argmax())} has {int(lengths.max())} tokens and a packed row "
            f"holds {max_length}. Raise max_length, or encode with a max_length that cuts it."
        )
        raise SampleError(message)
    rows: list[list[int]] = []
    open_rows = np.zeros(OPEN_ROWS, dtype=np.int64)
    room = np.full(OPEN_ROWS, -1, dtype=np.int64)
    count = 0
    for sample, length in enumerate(lengths.tolist()):
        left = room[:count] - length
        left[left < 0] = max_length + 1
        place = int(np.argmin(left)) if count else 0
        if count == 0 or room[place] < length:
            if count == OPEN_ROWS:
                # The fullest row is the least likely to take anything more.
                closed = int(np.argmin(room))
                room[closed:-1], open_rows[closed:-1] = room[closed + 1 :], open_rows[closed + 1 :]
                count -= 1
            place = count
            open_rows[place], room[place] = len(rows), max_length
            rows.append([])
            count += 1
        rows[int(open_rows[place])].append(sample)
        room[place] -= length
    return rows


def join_samples(samples: Sequence[dict[str, IntArray]]) -> dict[str, IntArray]:
    """One row of whole samples: `input_ids`, `labels`, `position_ids`, `segment_ids`, int64 [T]."""
    sizes = [sample["input_ids"].size for sample in samples]
    return {
        "input_ids": np.concatenate([sample["input_ids"] for sample in samples]),
        "labels": np.concatenate([sample["labels"] for sample in samples]),
        "position_ids": np.concatenate([np.arange(size, dtype=np.int64) for size in sizes]),
        "segment_ids": np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int64), sizes),
    }


class PackedDataset:
    """`packed[i]` is row i; memory holds the plan alone. Attributes: `rows`, samples of each."""

    def __init__(self, samples: Samples, max_length: int) -> None:
        """Raises SampleError when a sample is longer than `max_length`."""
        self.samples = samples
        self.max_length = max_length
        self.rows = pack(samples.lengths, max_length)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> IntArray:
        """Tokens of every row, int32."""
        lengths = self.samples.lengths
        return np.asarray([lengths[row].sum() for row in self.rows], dtype=np.int32)

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """Row `index`."""
        if not -len(self) <= index < len(self):
            message = f"Row {index} does not exist: there are {len(self)}."
            raise IndexError(message)
        return join_samples([self.samples[sample] for sample in self.rows[index]])


def padding_share(lengths: IntArray, batch_size: int, width: int | None = None) -> float:
    """Share of filling when samples are batched in order; `width`: every batch has this width."""
    filled = 0
    for start in range(0, lengths.size, batch_size):
        part = lengths[start : start + batch_size]
        filled += (int(part.max()) if width is None else width) * part.size
    return 1 - int(lengths.sum(dtype=np.int64)) / filled if filled else 0.0
