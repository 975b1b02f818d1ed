"""The older layout: what NumPy and our reader find, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.indexed import IndexedDataset, NpyWriter


def test_read_by_numpy_and_by_us(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_raw(np.uint16([1, 2, 3]).tobytes(), [])
        writer.add_raw(np.uint16([4, 5]).tobytes(), [2, 1, 2], [2, 1])
    ids = np.load(tmp_path / "a_ids.npy", mmap_mode="r")
    assert (ids.dtype, ids.tolist()) == (np.uint16, [1, 2, 3, 4, 5])
    with np.load(tmp_path / "a_idx.npz") as arrays:
        assert arrays["lens"].tolist() == [2, 1, 2]
        assert arrays["docs"].tolist() == [0, 2, 3]
    data = IndexedDataset(tmp_path / "a")
    assert [data[i].tolist() for i in range(2)] == [[1, 2, 3], [4, 5]]


def test_no_documents(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "a", np.int32):
        pass
    assert np.load(tmp_path / "a_ids.npy").shape == (0,)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), NpyWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_raw(b"\x01\x00", [1])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
