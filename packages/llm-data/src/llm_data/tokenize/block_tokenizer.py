"""Turns one block of text into one part; what a worker process does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from llm_data.errors import TokenizerError
from llm_data.indexed.layout import IntArray
from llm_data.sources import Block, Documents, TextFormat, read_documents
from llm_data.tokenize.assembly import Tokens, assemble
from llm_data.tokenize.encoders import PlainEncoder, TextEncoder
from llm_data.tokenize.fast import FastEncoder, FastRecipe, difference
from llm_data.tokenize.parts import Part, Parts
from llm_data.tokenize.sentences import split_sentences
from llm_data.tokenize.words import WordMarks, space_words
from llm_data.tokenizer import Tokenizer

_BATCH_CHARACTERS = 1 << 18
CHECK_EVERY = 16
"""One block of so many is looked at again with the tokenizer itself."""
_CHECKED_CHARACTERS = 4096


@dataclass(frozen=True)
class Job:
    """What a worker needs to know before its first block."""

    tokenizer: bytes
    """Pickled: the file it was loaded from is loaded again, and only where it is needed."""
    parts_folder: Path
    dtype: str
    form: TextFormat
    eos: int | None = None
    """Put behind every document."""
    strict: bool = False
    sentences: str = "off"
    """"off": a document is one sequence; "on": one a sentence; "lines": one a line."""
    words: str = "off"
    """Chinese words: "off", "mark" (`##` pieces inside) or "space" (between them)."""
    fast: FastRecipe | None = None


class BlockTokenizer:
    """Turns blocks into parts."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.dtype = np.dtype(job.dtype)
        self.parts = Parts(job.parts_folder, self.dtype)
        self._marks = WordMarks(self.tokenizer) if job.words == "mark" else None
        self._fast = FastEncoder(job.fast) if job.fast is not None else None
        self._encoder: TextEncoder = self._fast or PlainEncoder(self.tokenizer)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer itself."""
        loaded: Tokenizer = pickle.loads(self.job.tokenizer)
        return loaded

    def run(self, block: Block) -> Part:
        """Tokenize a block, write its part, and say what it holds."""
        part, tokens = self.tokenized(block)
        self.parts.write(part, tokens)
        return part

    def tokenized(self, block: Block) -> tuple[Part, list[Tokens]]:
        """The part of a block, and its tokens."""
        counts = Documents()
        done: list[Tokens] = []
        for batch in self._batches(block, counts):
            self._check(block, batch)
            tokens, kept = self._tokens([text for text, _ in batch])
            for index in np.flatnonzero(~kept).tolist():
                counts.drop("no token", batch[index][1])
            done.append(tokens)
        part = Part(
            number=block.number,
            documents=sum(tokens.counts.size for tokens in done),
            tokens=sum(tokens.ids.size for tokens in done),
            sequences=sum(tokens.sizes.size for tokens in done),
            text_bytes=block.size,
            end=block.end,
            consumed=block.consumed,
            shortened=counts.shortened,
            dropped=counts.dropped,
            places=counts.places,
        )
        return part, done

    def _tokens(self, texts: list[str]) -> tuple[Tokens, IntArray]:
        if self.job.sentences == "off":
            sequences, counts = texts, np.ones(len(texts), dtype=np.int64)
        else:
            lines = self.job.sentences == "lines"
            split = [split_sentences(text, lines_only=lines) or [""] for text in texts]
            sequences = [sentence for sentences in split for sentence in sentences]
            counts = np.asarray([len(sentences) for sentences in split], dtype=np.int64)
        if self.job.words == "space":
            sequences = [space_words(text) for text in sequences]
        flat, sizes = self._encoder.encode(sequences)
        if self._marks is not None:
            flat = self._marked(flat, sizes, sequences)
        return assemble(flat, sizes, counts, self.job.eos, self.dtype)

    def _marked(self, flat: IntArray, sizes: IntArray, texts: list[str]) -> IntArray:
        assert self._marks is not None
        ends = np.cumsum(sizes).tolist()
        marked = [
            self._marks.marked(flat[end - size : end].tolist(), text)
            for text, end, size in zip(texts, ends, sizes.tolist(), strict=True)
        ]
        return np.asarray([i for ids in marked for i in ids], dtype=np.int64)

    def _check(self, block: Block, batch: list[tuple[str, str]]) -> None:
        """Raises TokenizerError when the fast library errs on a text of the run."""
        if self._fast is None or block.number % CHECK_EVERY != CHECK_EVERY - 1:
            return
        text, place = batch[0]
        if difference(self._fast, self.tokenizer, [text[:_CHECKED_CHARACTERS]]) is not None:
            message = (
                f"{place}: gigatoken gives other ids than the tokenizer itself, though it did not "
                "on the sample. Run again with --fast_tokenizer off --overwrite."
            )
            raise TokenizerError(message)

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
