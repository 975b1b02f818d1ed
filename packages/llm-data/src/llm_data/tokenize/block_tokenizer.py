"""Turns one block of text into one part on disk; what a worker process does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_data.indexed.layout import IntArray
from llm_data.sources import Block, Documents, TextFormat, read_documents
from llm_data.tokenize.parts import Part, Parts
from llm_data.tokenizer import Tokenizer, load_tokenizer

_BATCH_CHARACTERS = 1 << 18


@dataclass(frozen=True)
class Job:
    """What a worker needs to know before its first block."""

    tokenizer: Path
    parts_folder: Path
    dtype: str
    form: TextFormat
    append_eos: bool
    strict: bool


class BlockTokenizer:
    """Turns blocks into parts on disk."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.dtype = np.dtype(job.dtype)
        self.tokenizer: Tokenizer = load_tokenizer(job.tokenizer)
        self.parts = Parts(job.parts_folder, self.dtype)
        eos = self.tokenizer.eos_token_id
        self._ending = np.asarray([eos] if job.append_eos else [], dtype=self.dtype)

    def run(self, block: Block) -> Part:
        """Tokenize a block, write its part, and say what it holds."""
        counts = Documents()
        tokens: list[IntArray] = []
        sizes: list[int] = []
        for batch in self._batches(block, counts):
            encoded = self.tokenizer.encode_batch([text for text, _ in batch])
            for ids, (_, place) in zip(encoded, batch, strict=True):
                if not ids:
                    counts.drop("no token", place)
                    continue
                array = np.concatenate([np.asarray(ids, dtype=self.dtype), self._ending])
                tokens.append(array)
                sizes.append(array.size)
        part = Part(
            number=block.number,
            documents=len(sizes),
            tokens=sum(sizes),
            text_bytes=block.size,
            end=block.end,
            consumed=block.consumed,
            shortened=counts.shortened,
            dropped=counts.dropped,
            places=counts.places,
        )
        self.parts.write(part, tokens, sizes)
        return part

    def _batches(self, block: Block, counts: Documents) -> Iterator[list[tuple[str, str]]]:
        batch: list[tuple[str, str]] = []
        characters = 0
        for piece in block.pieces:
            for document in read_documents(piece, self.job.form, counts, strict=self.job.strict):
                batch.append(document)
                characters += len(document[0])
                if characters >= _BATCH_CHARACTERS:
                    yield batch
                    batch, characters = [], 0
        if batch:
            yield batch
