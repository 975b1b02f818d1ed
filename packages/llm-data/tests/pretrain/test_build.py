"""From options to the three datasets of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.errors import SampleError
from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_data.pretrain import (
    BlendedDataset,
    ConcatenatedDataset,
    PretrainDataset,
    build_pretrain_datasets,
)


def _write(prefix: Path, documents: int) -> None:
    with IndexedWriter(prefix, np.uint16) as writer:
        for index in range(documents):
            writer.add_document(np.full(50, index))


def test_parts_hold_their_own_documents(tmp_path: Path) -> None:
    _write(tmp_path / "a", 100)
    parts = build_pretrain_datasets(str(tmp_path), "80,15,5", 20)
    borders = [(0, 80), (80, 95), (95, 100)]
    for part, (first, last) in zip(parts, borders, strict=True):
        assert isinstance(part, PretrainDataset)
        tokens = np.concatenate([part[i]["input_ids"] for i in range(len(part))])
        assert tokens.min() == first
        assert tokens.max() == last - 1
    assert isinstance(parts[1], PretrainDataset)
    assert not parts[1].shuffle


def test_sample_counts_and_parts_that_are_not_there(tmp_path: Path) -> None:
    _write(tmp_path / "a", 10)
    train, valid, test = build_pretrain_datasets(
        str(tmp_path / "a"), "100", 8, num_samples=(500, 5, 0)
    )
    assert train is not None
    assert len(train) == 500
    assert valid is None
    assert test is None
    short = build_pretrain_datasets(str(tmp_path), "8,1,1", 100, num_samples=(None, 0, 0))
    assert short[1:] == (None, None)
    with pytest.raises(SampleError, match="validation part"):
        build_pretrain_datasets(str(tmp_path), "8,1,1", 100)


def test_several_prefixes_are_blended(tmp_path: Path) -> None:
    _write(tmp_path / "a", 100)
    _write(tmp_path / "b", 40)
    train, valid, _ = build_pretrain_datasets(
        f"0.25 {tmp_path / 'a'} 0.75 {tmp_path / 'b'}", "9,1,0", 10, num_samples=(2000, None, None)
    )
    assert isinstance(train, BlendedDataset)
    assert len(train) == 2000
    sources = [train.source(i)[0] for i in range(2000)]
    assert abs(sources.count(1) / 2000 - 0.75) < 0.01
    assert isinstance(valid, ConcatenatedDataset)
    assert len(valid) == (10 * 50 - 1) // 10 + (4 * 50 - 1) // 10


def test_validation_of_several_prefixes_holds_every_sample_once(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for name, documents in (("a", 100), ("b", 40)):
        with IndexedWriter(tmp_path / name, np.uint16) as writer:
            for _ in range(documents):
                writer.add_document(random.integers(0, 60_000, 50))
    parts = build_pretrain_datasets(
        f"0.25 {tmp_path / 'a'} 0.75 {tmp_path / 'b'}", "8,1,1", 10, seed=7
    )
    for part, share in ((parts[1], (80, 90)), (parts[2], (90, 100))):
        assert part is not None
        seen = [tuple(part[i]["input_ids"]) for i in range(len(part))]
        expected = []
        for name, documents in (("a", 100), ("b", 40)):
            first, last = (documents * border // 100 for border in share)
            data = IndexedDataset(tmp_path / name)
            tokens = data.tokens[data.offset(first) : data.offset(last)]
            starts = range(0, len(tokens) - 10, 10)
            expected += [tuple(tokens[start : start + 10].astype(np.int64)) for start in starts]
        assert seen == expected
