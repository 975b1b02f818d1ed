"""The writer leaves whole files or none."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from llm_data.errors import IndexedDataError
from llm_data.indexed import IndexedDataset, IndexedWriter


def _write(prefix: Path, value: int) -> None:
    with IndexedWriter(prefix, np.uint16) as writer:
        writer.add_document([value])


def test_error_keeps_the_old_files(tmp_path: Path) -> None:
    _write(tmp_path / "a", 1)
    with pytest.raises(RuntimeError), IndexedWriter(tmp_path / "a", np.uint16) as writer:
        writer.add_document([2, 2])
        raise RuntimeError
    assert IndexedDataset(tmp_path / "a")[0].tolist() == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.idx"]


def test_a_kill_between_the_renames_leaves_no_index_of_other_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "a", 1)
    rename = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.suffix == ".idx":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "a", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    with pytest.raises(IndexedDataError, match="No pretraining data"):
        IndexedDataset(tmp_path / "a")


def test_full_disk_keeps_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "a", 1)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "a", 2)
    assert IndexedDataset(tmp_path / "a")[0].tolist() == [1]


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "a", 1)
    assert list(tmp_path.iterdir()) == []


def test_id_that_does_not_fit(tmp_path: Path) -> None:
    with (
        pytest.raises(IndexedDataError, match="70000 does not fit uint16"),
        IndexedWriter(tmp_path / "a", np.uint16) as writer,
    ):
        writer.add_document([1, 70_000])
    assert list(tmp_path.iterdir()) == []


def test_float_tokens_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(IndexedDataError, match="float32"),
        IndexedWriter(tmp_path / "a", np.float32),
    ):
        pass


def test_no_documents(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "a", np.int32):
        pass
    assert len(IndexedDataset(tmp_path / "a")) == 0


def test_many_documents_cross_the_buffers(tmp_path: Path) -> None:
    count = 70_000
    with IndexedWriter(tmp_path / "a", np.uint16) as writer:
        for start in range(0, count, 1000):
            writer.add_raw(np.arange(start, start + 1000).astype(np.uint16).tobytes(), [1] * 1000)
    data = IndexedDataset(tmp_path / "a")
    assert len(data) == count
    assert data[65_536].tolist() == [0]
    assert int(data.sizes().sum()) == count
