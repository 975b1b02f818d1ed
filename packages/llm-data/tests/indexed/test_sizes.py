"""Lengths and borders, however they were added."""

from __future__ import annotations

import numpy as np

from llm_data.indexed.sizes import SequenceSizes


def test_borders_of_documents() -> None:
    sizes = SequenceSizes()
    sizes.add([3, 4], None)
    sizes.add(np.int32([1, 1]), np.int32([1, 1]))
    sizes.add([5, 6, 7], [2, 1])
    sizes.add([], None)
    assert sizes.sizes().tolist() == [3, 4, 1, 1, 5, 6, 7]
    assert sizes.borders().tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert (sizes.documents, sizes.tokens) == (6, 27)


def test_nothing() -> None:
    sizes = SequenceSizes()
    assert sizes.sizes().size == 0
    assert sizes.borders().tolist() == [0]
