"""Mixtures by weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.errors import IndexedDataError, SampleError
from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_data.pretrain import BlendedDataset, PretrainDataset, parse_input_dir


def _dataset(prefix: Path, value: int) -> PretrainDataset:
    with IndexedWriter(prefix, np.uint16) as writer:
        writer.add_document([value] * 101)
    return PretrainDataset(IndexedDataset(prefix), 4)


@pytest.fixture
def three(tmp_path: Path) -> list[PretrainDataset]:
    """Datasets of 25 samples an epoch, whose tokens are 0, 1 and 2."""
    return [_dataset(tmp_path / f"d{i}", i) for i in range(3)]


def test_every_stretch_has_the_mixture(three: list[PretrainDataset]) -> None:
    blend = BlendedDataset(three, [0.5, 0.3, 0.2], 30_000)
    kinds = np.asarray([blend.source(i)[0] for i in range(30_000)])
    for start in (0, 9_990, 17_003):
        part = kinds[start : start + 1000]
        assert np.abs(np.bincount(part, minlength=3) / 1000 - [0.5, 0.3, 0.2]).max() < 0.01
    assert np.bincount(kinds).tolist() == [15_000, 9_000, 6_000]


def test_each_dataset_is_gone_through_in_its_own_order(three: list[PretrainDataset]) -> None:
    blend = BlendedDataset(three, [1, 1, 5], 25_000)
    seen: list[list[int]] = [[], [], []]
    for index in range(25_000):
        dataset, place = blend.source(index)
        seen[dataset].append(place)
    assert seen == [list(range(len(places))) for places in seen]
    assert blend[24_999]["input_ids"].shape == (4,)
    assert {int(blend[i]["input_ids"][0]) for i in range(20)} == {0, 1, 2}


def test_bad_weights(three: list[PretrainDataset]) -> None:
    with pytest.raises(SampleError, match="Weights"):
        BlendedDataset(three, [1, 0, 1], 10)
    with pytest.raises(SampleError, match="one weight each"):
        BlendedDataset(three, [1, 1], 10)
    with pytest.raises(IndexError, match="there are 10"):
        BlendedDataset(three, [1, 1, 1], 10)[10]


def test_input_dir_forms(three: list[PretrainDataset], tmp_path: Path) -> None:
    assert parse_input_dir(str(tmp_path)) == [(1.0, tmp_path / f"d{i}") for i in range(3)]
    assert parse_input_dir(str(tmp_path / "d1")) == [(1.0, tmp_path / "d1")]
    mixed = parse_input_dir(f"0.3 {tmp_path / 'd0'}, 0.7 {tmp_path / 'd2'}")
    assert mixed == [(0.3, tmp_path / "d0"), (0.7, tmp_path / "d2")]
    shared = parse_input_dir(f"3 {tmp_path}")
    assert shared == [(1.0, tmp_path / f"d{i}") for i in range(3)]


@pytest.mark.parametrize("text", ["0.3", "0.3 {0} 0.7", "-1 {0}", "0.5 {0} x {0}", "nan {0}"])
def test_input_dir_nonsense(three: list[PretrainDataset], tmp_path: Path, text: str) -> None:
    with pytest.raises(SampleError, match="--input_dir"):
        parse_input_dir(text.format(tmp_path / "d0"))


def test_input_dir_without_data(tmp_path: Path) -> None:
    with pytest.raises(IndexedDataError, match="No pretraining data"):
        parse_input_dir(str(tmp_path))
