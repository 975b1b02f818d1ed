"""Ids of a batch into the arrays of a part: sentences, documents, EOS, nothing that is empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_data.indexed.layout import IntArray


@dataclass(frozen=True)
class Tokens:
    """Some documents, in order."""

    ids: IntArray
    """All ids [T]."""
    sizes: IntArray
    """Ids of each sequence (a sentence, or a whole document), int32 [S]."""
    counts: IntArray
    """Sequences of each document, int32 [D]."""


def assemble(
    flat: IntArray, sizes: IntArray, counts: IntArray, eos: int | None, dtype: np.dtype[np.generic]
) -> tuple[Tokens, IntArray]:
    """Tokens of the documents that have any, and which those are (bool [D]).

    flat: ids [T] of sequences of `sizes` [S]; counts: sequences of each document [D], at least 1.
    eos: put behind the last sequence of each document.
    """
    document = np.repeat(np.arange(counts.size), counts)
    filled = sizes > 0
    kept_counts = np.bincount(document[filled], minlength=counts.size)
    kept = kept_counts > 0
    ids = flat.astype(dtype, copy=False)
    sizes, kept_counts = sizes[filled], kept_counts[kept]
    if eos is not None and sizes.size:
        last = np.cumsum(kept_counts) - 1
        ids = np.insert(ids, np.cumsum(sizes)[last], np.asarray(eos, dtype=dtype))
        sizes = sizes.copy()
        sizes[last] += 1
    return Tokens(ids, sizes.astype("<i4"), kept_counts.astype("<i4")), kept
