"""Lengths of sequences and borders of documents, collected while their tokens are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_data.indexed.layout import IntArray

_PENDING = 65_536
"""Sequences after which their lengths become an array."""


class SequenceSizes:
    """Holds 4 bytes of memory a sequence and, where documents have several, 4 a document."""

    def __init__(self) -> None:
        self.documents = 0
        self.tokens = 0
        self._sizes: list[IntArray] = []
        self._pending: list[int] = []
        self._counts: list[IntArray | int] = []

    def add(self, sizes: Sequence[int] | IntArray, counts: Sequence[int] | IntArray | None) -> None:
        """Tokens of each sequence; counts: sequences of each document, None for one in each."""
        array = np.asarray(sizes, dtype=np.int32)
        numbers = array.size if counts is None else np.asarray(counts, dtype=np.int32)
        self.documents += numbers if isinstance(numbers, int) else numbers.size
        self.tokens += int(array.sum(dtype=np.int64))
        # Many short arrays cost more than their content.
        self._pending += array.tolist()
        if len(self._pending) >= _PENDING:
            self._flush()
        self._count(numbers)

    def _flush(self) -> None:
        self._sizes.append(np.asarray(self._pending, dtype=np.int32))
        self._pending = []

    def _count(self, numbers: IntArray | int) -> None:
        last = self._counts[-1] if self._counts else None
        if isinstance(numbers, int):
            if isinstance(last, int):
                numbers += last
                self._counts.pop()
        elif bool(np.all(numbers == 1)):
            self._count(int(numbers.size))
            return
        self._counts.append(numbers)

    def sizes(self) -> IntArray:
        """Tokens of every sequence, int32 [S]."""
        self._flush()
        return np.concatenate(self._sizes)

    def borders(self) -> IntArray:
        """First sequence of each document and, last, S: int64 [D + 1]."""
        counts = [
            np.ones(part, np.int64) if isinstance(part, int) else part.astype(np.int64)
            for part in self._counts
        ]
        return np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
