"""One block to one part, in this process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import TokenizerError
from llm_data.sources import Block, Piece, Position, TextFormat
from llm_data.tokenize.block_tokenizer import CHECK_EVERY, BlockTokenizer, Job
from llm_data.tokenize.fast import FastRecipe
from llm_data.tokenizer import Tokenizer


def test_part(bpe: Tokenizer, tmp_path: Path) -> None:
    job = Job(pickle.dumps(bpe), tmp_path, "uint16", TextFormat(), eos=0)
    data = b'{"text": "one"}\n{"body": 1}\n{"text": "two two"}\n'
    block = Block(3, [Piece("f", 7, data)], Position(0, 50, 10), consumed=len(data))
    part = BlockTokenizer(job).run(block)
    assert (part.number, part.documents, part.end) == (3, 2, Position(0, 50, 10))
    assert part.places == {"missing key 'text'": ["f:8"]}
    ids = [[*bpe.encode(text), 0] for text in ("one", "two two")]
    stored = (tmp_path / "00000003.bin").read_bytes()
    flat = np.frombuffer(stored[: part.tokens * 2], dtype=np.uint16)
    assert flat.tolist() == ids[0] + ids[1]
    numbers = np.frombuffer(stored[part.tokens * 2 :], dtype=np.int32)
    assert numbers.tolist() == [len(ids[0]), len(ids[1]), 1, 1]
    assert part.sequences == 2


def test_sentences_are_sequences(bpe: Tokenizer, tmp_path: Path) -> None:
    job = Job(pickle.dumps(bpe), tmp_path, "uint16", TextFormat(), eos=0, sentences="on")
    data = b'{"text": "One. Two!\\n\\n  Three"}\n{"text": "Four"}\n'
    part, (tokens,) = BlockTokenizer(job).tokenized(Block(0, [Piece("f", 1, data)]))
    assert (part.documents, part.sequences) == (2, 4)
    assert tokens.counts.tolist() == [3, 1]
    texts = ["One.", "Two!", "Three", "Four"]
    ids = [bpe.encode(text) for text in texts]
    assert tokens.sizes.tolist() == [len(ids[0]), len(ids[1]), len(ids[2]) + 1, len(ids[3]) + 1]
    assert tokens.ids.tolist() == [*ids[0], *ids[1], *ids[2], 0, *ids[3], 0]


class _OtherIds:
    """A fast encoder that errs on one text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, texts: list[str]) -> tuple[Any, Any]:
        ids = [[7] if text == "odd" else self.tokenizer.encode(text) for text in texts]
        return np.asarray([i for row in ids for i in row]), np.asarray([len(row) for row in ids])


def test_an_error_of_the_fast_library_stops_the_run(
    bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_data.tokenize.block_tokenizer.FastEncoder", lambda _: _OtherIds(bpe))
    recipe = FastRecipe("json", "{}")
    job = Job(pickle.dumps(bpe), tmp_path, "uint16", TextFormat(), fast=recipe)
    worker = BlockTokenizer(job)
    odd = [Piece("f", 1, b'{"text": "odd"}\n')]
    even = [Piece("f", 1, b'{"text": "even"}\n')]
    assert worker.tokenized(Block(CHECK_EVERY - 1, even))[0].documents == 1
    with pytest.raises(TokenizerError, match=r"f:1: gigatoken gives other ids"):
        worker.tokenized(Block(CHECK_EVERY - 1, odd))
