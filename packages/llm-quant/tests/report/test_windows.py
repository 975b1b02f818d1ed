"""Held-out windows: every target once, the same tokens for every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_quant.errors import CalibrationError
from llm_quant.report.windows import (
    Window,
    scored_tokens,
    unigram_entropy,
    validation_windows,
)


def test_windows_cover_the_validation_documents_once(corpus: Path) -> None:
    found, available = validation_windows(str(corpus), "80,20,0", 50, 10**9)
    data = IndexedDataset(corpus / "tokens")
    tokens = data.tokens[data.offset(48) :]
    targets = np.concatenate([window.ids[1:] for window in found])
    np.testing.assert_array_equal(targets, tokens[1:])
    np.testing.assert_array_equal(found[0].ids[0], tokens[0])
    assert {window.scored.size for window in found[:-1]} == {50}
    assert scored_tokens(found) == available == tokens.size - 1


def test_a_limit_keeps_the_beginning(corpus: Path) -> None:
    every, available = validation_windows(str(corpus), "80,20,0", 50, 10**9)
    some, still = validation_windows(str(corpus), "80,20,0", 50, 120)
    assert still == available
    assert [window.scored.size for window in some] == [50, 50, 20]
    np.testing.assert_array_equal(some[2].ids, every[2].ids[:21])


def test_a_limit_is_shared_out_among_prefixes(tmp_path: Path) -> None:
    for name, base, tokens in (("a", 0, 301), ("b", 1000, 101), ("c", 2000, 1)):
        with IndexedWriter(tmp_path / name, np.uint16) as writer:
            writer.add_document(np.arange(base, base + tokens))
    found, available = validation_windows(str(tmp_path), "0,1,0", 50, 100)
    assert available == 400
    targets = np.concatenate([window.ids[1:] for window in found])
    np.testing.assert_array_equal(targets, [*range(1, 76), *range(1001, 1026)])
    every, _ = validation_windows(str(tmp_path), "0,1,0", 50, 10**9)
    assert scored_tokens(every) == 400
    assert scored_tokens(validation_windows(str(tmp_path), "0,1,0", 7, 399)[0]) == 399


def test_a_split_without_validation(corpus: Path) -> None:
    with pytest.raises(CalibrationError, match="--split 1,0,0 holds no tokens"):
        validation_windows(str(corpus), "1,0,0", 50, 100)


def test_unigram_entropy_of_known_shares() -> None:
    ids = np.array([9, 1, 1, 2, 3])
    window = Window(ids, np.array([True, True, True, True]))
    expected = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    assert unigram_entropy([window]) == pytest.approx(expected)
    # Only scored targets count: without the last one the shares are 2/3 and 1/3.
    window = Window(ids, np.array([True, True, True, False]))
    expected = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert unigram_entropy([window]) == pytest.approx(expected)
