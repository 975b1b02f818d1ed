"""Batches as flat arrays."""

from __future__ import annotations

from llm_data.tokenize.encoders import PlainEncoder
from llm_data.tokenizer import Tokenizer


def test_plain(bpe: Tokenizer) -> None:
    texts = ["import os", "", "  x"]
    flat, sizes = PlainEncoder(bpe).encode(texts)
    assert sizes.tolist() == [len(bpe.encode(text)) for text in texts]
    assert flat.tolist() == [i for text in texts for i in bpe.encode(text)]
    flat, sizes = PlainEncoder(bpe).encode([])
    assert (flat.size, sizes.size) == (0, 0)
