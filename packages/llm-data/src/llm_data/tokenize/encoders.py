"""Texts to ids as flat arrays, by the tokenizer itself or by the fast library (`fast`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import numpy as np

from llm_data.indexed.layout import IntArray
from llm_data.tokenizer import Tokenizer


class TextEncoder(Protocol):
    """Encodes a batch of texts."""

    def encode(self, texts: Sequence[str]) -> tuple[IntArray, IntArray]:
        """Ids of all texts one after the other [T], and how many each has [N]."""


class PlainEncoder:
    """The tokenizer itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> tuple[IntArray, IntArray]:
        """See `TextEncoder`."""
        encoded = self.tokenizer.encode_batch(texts)
        sizes = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        flat = np.fromiter(chain.from_iterable(encoded), dtype=np.int64, count=int(sizes.sum()))
        return flat, sizes
