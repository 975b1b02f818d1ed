"""Samples cross documents, cover the data, and depend on (seed, i) alone."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import SampleError
from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_data.pretrain import PretrainDataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> IndexedDataset:
    """100 documents; token k of the whole file is k, so a sample tells where it was cut."""
    prefix = tmp_path_factory.mktemp("pretrain") / "a"
    rng = np.random.default_rng(0)
    start = 0
    with IndexedWriter(prefix, np.uint16) as writer:
        for size in rng.integers(0, 60, 100):
            writer.add_document(np.arange(start, start + size))
            start += size
    return IndexedDataset(prefix)


@pytest.mark.parametrize("length", [1, 7, 64])
def test_an_epoch_predicts_every_token_once(data: IndexedDataset, length: int) -> None:
    samples = PretrainDataset(data, length, seed=3)
    labels = np.concatenate([samples[i]["labels"] for i in range(len(samples))])
    assert len(samples) == (data.tokens.size - 1) // length
    assert np.unique(labels).size == labels.size
    assert labels.size > data.tokens.size - 1 - length
    for sample in (samples[i] for i in range(len(samples))):
        assert sample["input_ids"].dtype == sample["labels"].dtype == np.int64
        assert sample["input_ids"].shape == (length,)
        assert (sample["labels"] == sample["input_ids"] + 1).all()


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 200), index=st.integers(0, 10_000), seed=st.integers(0, 99))
def test_a_sample_is_a_stretch_of_the_ring(
    data: IndexedDataset, length: int, index: int, seed: int
) -> None:
    documents = range(10, 90)
    samples = PretrainDataset(data, length, documents=documents, num_samples=10_001, seed=seed)
    begin, end = data.offset(10), data.offset(90)
    window = samples.window(index).astype(np.int64)
    expected = begin + (window[0] - begin + np.arange(length + 1)) % (end - begin)
    assert window.tolist() == expected.tolist()


def test_epochs_and_seeds_differ_and_runs_repeat(data: IndexedDataset) -> None:
    one = PretrainDataset(data, 16, seed=1, num_samples=1000)
    epoch = one.samples_per_epoch
    first = [one.position(i) for i in range(epoch)]
    second = [one.position(i) for i in range(epoch, 2 * epoch)]
    assert first != sorted(first)
    assert set(first) != set(second), "the cuts must move from epoch to epoch"
    again = pickle.loads(pickle.dumps(one))
    assert [again.position(i) for i in range(2 * epoch)] == first + second
    other = PretrainDataset(data, 16, seed=2)
    assert [other.position(i) for i in range(epoch)] != first


def test_evaluation_is_in_order(data: IndexedDataset) -> None:
    samples = PretrainDataset(data, 16, shuffle=False, num_samples=500)
    assert samples[1]["input_ids"].tolist() == list(range(16, 32))
    again = samples[samples.samples_per_epoch]["input_ids"]
    assert again.tolist() == samples[0]["input_ids"].tolist()


def test_too_little_text_says_how_much_is_needed(data: IndexedDataset) -> None:
    with pytest.raises(SampleError, match=r"validation part .* needs 100001"):
        PretrainDataset(data, 100_000, name="validation")
    with pytest.raises(SampleError, match="0 documents"):
        PretrainDataset(data, 8, documents=range(5, 5))


@pytest.mark.parametrize("index", [170, -171])
def test_index_beyond_the_end(data: IndexedDataset, index: int) -> None:
    samples = PretrainDataset(data, 16, num_samples=170)
    with pytest.raises(IndexError, match="there are 170"):
        samples[index]


def test_opening_takes_milliseconds_whatever_the_epochs(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "big", np.uint16) as writer:
        writer.add_raw(bytes(2 * 5_000_000), np.full(50_000, 100))
    start = time.perf_counter()
    samples = PretrainDataset(IndexedDataset(tmp_path / "big"), 128, num_samples=10**9)
    samples[10**9 - 1]
    assert time.perf_counter() - start < 0.5
