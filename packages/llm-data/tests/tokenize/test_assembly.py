"""Ids into documents: EOS at the ends, nothing empty."""

from __future__ import annotations

import numpy as np

from llm_data.tokenize.assembly import assemble


def test_eos_behind_documents_and_empty_ones_left_out() -> None:
    flat = np.arange(1, 8)
    sizes, counts = np.asarray([2, 0, 1, 0, 0, 4]), np.asarray([3, 2, 1])
    tokens, kept = assemble(flat, sizes, counts, 0, np.dtype(np.uint16))
    assert tokens.ids.tolist() == [1, 2, 3, 0, 4, 5, 6, 7, 0]
    assert tokens.sizes.tolist() == [2, 2, 5]
    assert tokens.counts.tolist() == [2, 1]
    assert kept.tolist() == [True, False, True]
    assert tokens.ids.dtype == np.uint16


def test_without_eos_and_without_anything() -> None:
    tokens, _ = assemble(np.arange(3), np.asarray([3]), np.asarray([1]), None, np.dtype(np.int32))
    assert tokens.ids.tolist() == [0, 1, 2]
    empty = np.asarray([], dtype=np.int64)
    tokens, kept = assemble(empty, np.asarray([0]), np.asarray([1]), 5, np.dtype(np.int32))
    assert (tokens.ids.size, tokens.counts.size, kept.tolist()) == (0, 0, [False])
