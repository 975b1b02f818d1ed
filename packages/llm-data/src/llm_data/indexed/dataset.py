"""Reads documents of a prefix from the memory map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llm_data.indexed.layout import IntArray, open_prefix, without_suffix


class IndexedDataset:
    """Documents of one prefix, memory-mapped: `len(data)` is D, `data[i]` the ids of document i.

    Attributes: `tokens`, the ids of all documents one after the other [T], read-only.
    Raises IndexedDataError when a file is missing, truncated or inconsistent.
    """

    def __init__(self, prefix: str | Path) -> None:
        """prefix: path without `.bin`/`.idx` (either suffix is accepted too)."""
        self.prefix = Path(without_suffix(str(prefix)))
        opened = open_prefix(self.prefix)
        self.tokens = opened.tokens
        self._starts = opened.starts
        self._documents = opened.documents
        self._unit = opened.unit

    def __reduce__(self) -> tuple[type[IndexedDataset], tuple[Path]]:
        return IndexedDataset, (self.prefix,)

    def __len__(self) -> int:
        return int(self._documents.size - 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored ids."""
        return self.tokens.dtype

    def offset(self, document: int) -> int:
        """Position in `tokens` where document 0 <= `document` <= D begins (D: the end)."""
        return int(self.offsets(document, document + 1)[0])

    def offsets(self, first: int, last: int) -> IntArray:
        """`offset` of documents first, ..., last - 1 as int64; `last` is at most D + 1."""
        sequences = np.asarray(self._documents[first:last])
        inside = np.minimum(sequences, max(self._starts.size - 1, 0))
        starts = np.asarray(self._starts[inside] if self._starts.size else inside) // self._unit
        return np.where(sequences < self._starts.size, starts, self.tokens.size).astype(np.int64)

    def __getitem__(self, document: int) -> IntArray:
        """Ids of one document [T], a view of the memory map."""
        count = len(self)
        if not -count <= document < count:
            message = f"Document {document} does not exist: {self.prefix} has {count} documents."
            raise IndexError(message)
        begin, end = self.offsets(document % count, document % count + 2)
        return self.tokens[begin:end]

    def sizes(self) -> IntArray:
        """Tokens of every document, int64 [D]."""
        return np.diff(self.offsets(0, len(self) + 1))
