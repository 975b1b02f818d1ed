"""Datasets one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_data.pretrain import ConcatenatedDataset, PretrainDataset


def _dataset(prefix: Path, tokens: np.ndarray) -> PretrainDataset:
    with IndexedWriter(prefix, np.uint16) as writer:
        writer.add_document(tokens)
    return PretrainDataset(IndexedDataset(prefix), 10, shuffle=False)


def test_samples_follow_each_other(tmp_path: Path) -> None:
    parts = [
        _dataset(tmp_path / "a", np.arange(31)),
        _dataset(tmp_path / "b", np.arange(100, 111)),
        _dataset(tmp_path / "c", np.arange(200, 221)),
    ]
    joined = ConcatenatedDataset(parts)
    assert len(joined) == 3 + 1 + 2
    firsts = [int(joined[i]["input_ids"][0]) for i in range(6)]
    assert firsts == [0, 10, 20, 100, 200, 210]
    assert int(joined[-1]["labels"][-1]) == 220
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="there are 6"):
            joined[wrong]
