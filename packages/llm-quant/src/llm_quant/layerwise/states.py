"""Hidden states of all calibration samples on disk, so that memory does not grow with them.

One file of float32 rows [sum of T, E] holds the input of one layer, sample after sample. It is
written and read one batch at a time; the operating system keeps in memory what fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from llm_cli.outputs import written_file


class StateFile:
    """The inputs of one layer for samples of the given lengths."""

    def __init__(self, path: Path, lengths: Sequence[int], width: int) -> None:
        """lengths: tokens of each sample; width: E."""
        self.path = path
        self._starts = np.cumsum([0, *lengths]).tolist()
        self._width = width

    def read(self, batch: range) -> np.ndarray:
        """States float32 [B, T, E] of neighbouring samples of one length."""
        first, last = self._starts[batch.start], self._starts[batch.stop]
        rows = np.fromfile(
            self.path,
            np.float32,
            count=(last - first) * self._width,
            offset=first * self._width * 4,
        )
        return rows.reshape(len(batch), -1, self._width)

    def write(self, parts: Iterable[np.ndarray]) -> None:
        """Store the states [B, T, E] of all batches in order; the file appears when all are."""
        with written_file(self.path) as stream:
            for part in parts:
                stream.write(np.ascontiguousarray(part, dtype=np.float32).data)


def batches(lengths: Sequence[int], size: int) -> Iterator[range]:
    """Runs of at most `size` neighbouring samples of one length: batches without padding."""
    start = 0
    for i in range(1, len(lengths) + 1):
        if i == len(lengths) or lengths[i] != lengths[start] or i - start == size:
            yield range(start, i)
            start = i
