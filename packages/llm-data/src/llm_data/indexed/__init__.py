"""Token files for pretraining: `PREFIX.bin` + `PREFIX.idx`, and the older `_ids.npy` + `_idx.npz`.

The layout is Megatron's `MMapIndexedDataset`, which PaddleNLP shares, so files go both ways.
Tokens are memory-mapped: opening costs no memory per token. So is the index of `.idx`; that of
`_idx.npz` is held in memory, 16 bytes a sequence. Knows nothing of tokenizers.

    with IndexedWriter("corpus", dtype_for(vocab_size)) as writer:
        writer.add_document([5, 6, 7])
    data = IndexedDataset("corpus"); data[0]      # array([5, 6, 7], dtype=uint16)
"""

from __future__ import annotations

from llm_data.indexed.dataset import IndexedDataset
from llm_data.indexed.layout import dtype_for, find_prefixes
from llm_data.indexed.npy_writer import NpyWriter
from llm_data.indexed.writer import IndexedWriter

__all__ = ["IndexedDataset", "IndexedWriter", "NpyWriter", "dtype_for", "find_prefixes"]
