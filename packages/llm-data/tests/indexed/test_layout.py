"""The bytes of .idx as the format says them, and every kind of damage by its own sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from llm_data.errors import IndexedDataError
from llm_data.indexed import IndexedDataset, IndexedWriter, dtype_for, find_prefixes


def _index_bytes(sizes: list[int], documents: list[int], code: int = 8, version: int = 1) -> bytes:
    """An .idx by hand, for uint16 tokens."""
    starts = [2 * sum(sizes[:i]) for i in range(len(sizes))]
    return (
        b"MMIDIDX\x00\x00"
        + struct.pack("<Q", version)
        + struct.pack("<B", code)
        + struct.pack("<Q", len(sizes))
        + struct.pack("<Q", len(documents))
        + struct.pack(f"<{len(sizes)}i", *sizes)
        + struct.pack(f"<{len(sizes)}q", *starts)
        + struct.pack(f"<{len(documents)}q", *documents)
    )


def test_written_bytes(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "a", np.uint16) as writer:
        for document in ([7, 8, 9], [10], [11, 12]):
            writer.add_document(document)
    assert (tmp_path / "a.idx").read_bytes() == _index_bytes([3, 1, 2], [0, 1, 2, 3])
    assert (tmp_path / "a.bin").read_bytes() == struct.pack("<6H", 7, 8, 9, 10, 11, 12)


def test_documents_of_several_sequences(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_bytes(_index_bytes([3, 1, 2], [0, 2, 2, 3]))
    (tmp_path / "a.bin").write_bytes(struct.pack("<6H", 7, 8, 9, 10, 11, 12))
    data = IndexedDataset(tmp_path / "a")
    assert [data[i].tolist() for i in range(3)] == [[7, 8, 9, 10], [], [11, 12]]


@pytest.mark.parametrize(
    ("idx", "bin_size", "message"),
    [
        (b"TNTIDX\x00\x00" + bytes(40), 12, "lazy"),
        (b"nonsense and more of it", 12, "no index of pretraining data"),
        (b"MMIDIDX", 12, "7 bytes, fewer than its header.*cut off"),
        (_index_bytes([3, 3], [0, 1, 2])[:30], 12, "30 bytes, fewer.*llm data tokenize"),
        (_index_bytes([3, 3], [0, 1, 2], version=2), 12, "version 2"),
        (_index_bytes([3, 3], [0, 1, 2], code=7), 12, "dtype code 7"),
        (_index_bytes([3, 3], [0, 1, 2])[:-1], 12, "cut off or damaged"),
        (_index_bytes([3, 3], [0, 1, 2]), 10, "describes 12"),
        (_index_bytes([3, 3], [0, 1, 2]), 14, "describes 12"),
        (_index_bytes([3, 3], [0, 2, 1]), 12, "document index"),
        (_index_bytes([3, 3], [1, 2]), 12, "document index"),
        (_index_bytes([7, -1], [0, 1, 2]), 12, "overlap or leave gaps"),
    ],
)
def test_damage_is_told_apart(tmp_path: Path, idx: bytes, bin_size: int, message: str) -> None:
    (tmp_path / "a.idx").write_bytes(idx)
    (tmp_path / "a.bin").write_bytes(bytes(bin_size))
    with pytest.raises(IndexedDataError, match=message):
        IndexedDataset(tmp_path / "a")


def test_missing_bin(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_bytes(_index_bytes([1], [0, 1]))
    with pytest.raises(IndexedDataError, match=r"a\.bin is missing"):
        IndexedDataset(tmp_path / "a")


def test_older_layout_that_contradicts_itself(tmp_path: Path) -> None:
    np.save(tmp_path / "a_ids.npy", np.arange(5, dtype=np.uint16))
    np.savez(tmp_path / "a_idx.npz", lens=np.int32([2, 2]), docs=np.int64([0, 1, 2]))
    with pytest.raises(IndexedDataError, match=r"holds 5 tokens, a_idx\.npz describes 4"):
        IndexedDataset(tmp_path / "a")
    (tmp_path / "a_idx.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(IndexedDataError, match="not readable"):
        IndexedDataset(tmp_path / "a")


@pytest.mark.parametrize(("size", "name"), [(512, "uint16"), (65_499, "uint16"), (65_500, "int32")])
def test_dtype(size: int, name: str) -> None:
    assert dtype_for(size).name == name


def test_find_prefixes(tmp_path: Path) -> None:
    for name in ("b.idx", "b.bin", "a_idx.npz", "a_ids.npy", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_prefixes(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert find_prefixes(tmp_path / "b") == [tmp_path / "b"]
    assert find_prefixes(tmp_path / "b.bin") == [tmp_path / "b"]
    with pytest.raises(IndexedDataError, match=r"no \*\.idx"):
        find_prefixes(tmp_path / "c")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_paddlenlp_reads_and_writes_the_same(tmp_path: Path, dtype: type[np.generic]) -> None:
    theirs = pytest.importorskip("paddlenlp.data.indexed_dataset", exc_type=ImportError)
    rng = np.random.default_rng(5)
    documents = [rng.integers(0, 60_000, size) for size in rng.integers(1, 40, 50)]
    with IndexedWriter(tmp_path / "ours", dtype) as writer:
        for document in documents:
            writer.add_document(document)
    read = theirs.make_dataset(str(tmp_path / "ours"), "mmap", skip_warmup=True)
    assert [read[i].tolist() for i in range(len(read))] == [d.tolist() for d in documents]

    builder = theirs.make_builder(str(tmp_path / "theirs.bin"), "mmap", dtype)
    for document in documents:
        builder.add_item(document.tolist())
        builder.end_document()
    builder.finalize(str(tmp_path / "theirs.idx"))
    for suffix in ("bin", "idx"):
        ours = (tmp_path / f"ours.{suffix}").read_bytes()
        assert (tmp_path / f"theirs.{suffix}").read_bytes() == ours
    assert len(IndexedDataset(tmp_path / "theirs")) == len(documents)
