"""Documents come back as they were written, from both layouts."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.indexed import IndexedDataset, IndexedWriter

DOCUMENTS = st.lists(st.lists(st.integers(0, 65_499), max_size=12), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(documents=DOCUMENTS, dtype=st.sampled_from([np.uint16, np.int32]))
def test_round_trip(documents: list[list[int]], dtype: type[np.generic]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "a.b"
        with IndexedWriter(prefix, dtype) as writer:
            for document in documents:
                writer.add_document(document)
        data = IndexedDataset(prefix)
        assert [data[i].tolist() for i in range(len(data))] == documents
        assert data.dtype == dtype
        assert data.sizes().tolist() == [len(document) for document in documents]
        assert data[-1].tolist() == documents[-1]


@settings(max_examples=30, deadline=None)
@given(documents=st.lists(st.lists(st.lists(st.integers(0, 999), max_size=6), max_size=4)))
def test_older_layout_with_sentences(documents: list[list[list[int]]]) -> None:
    sentences = [sentence for document in documents for sentence in document]
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "old"
        ids = np.asarray([i for sentence in sentences for i in sentence], dtype=np.uint16)
        np.save(f"{prefix}_ids.npy", ids)
        np.savez(
            f"{prefix}_idx.npz",
            lens=np.asarray([len(sentence) for sentence in sentences], dtype=np.int32),
            docs=np.cumsum([0, *(len(document) for document in documents)], dtype=np.int64),
        )
        data = IndexedDataset(f"{prefix}_idx.npz")
        expected = [[i for sentence in document for i in sentence] for document in documents]
        assert [data[i].tolist() for i in range(len(data))] == expected


def test_reading_maps_and_does_not_load(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_document(np.arange(1000))
    data = IndexedDataset(tmp_path / "a.bin")
    assert isinstance(data.tokens, np.memmap)
    assert not data[0].flags.owndata
    assert not data.tokens.flags.writeable


def test_pickle_opens_again(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_document([1, 2, 3])
    assert pickle.loads(pickle.dumps(IndexedDataset(tmp_path / "a")))[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("index", [2, -3])
def test_document_beyond_the_end(tmp_path: Path, index: int) -> None:
    with IndexedWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_document([1])
        writer.add_document([2])
    with pytest.raises(IndexError, match="has 2 documents"):
        IndexedDataset(tmp_path / "a")[index]
