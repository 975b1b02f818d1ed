"""PaddleNLP reads our files and we read its."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.indexed import IndexedDataset, IndexedWriter

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_both_ways(tmp_path: Path, dtype: type[np.generic]) -> None:
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
