"""Worker processes: errors come back, a dead worker is explained."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_data.errors import DataError, TokenizerError
from llm_data.sources import Block, Piece, TextFormat
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenize.pool import WorkerPool
from llm_data.tokenizer import Tokenizer, load_tokenizer


def _job(tokenizer: Tokenizer, folder: Path) -> Job:
    return Job(pickle.dumps(tokenizer), folder, "uint16", TextFormat())


def _blocks(count: int) -> Iterator[Block]:
    for number in range(count):
        yield Block(number, [Piece("f", 1, b'{"text": "%d"}\n' % number)])


def test_every_block_once(bpe: Tokenizer, tmp_path: Path) -> None:
    with WorkerPool(_job(bpe, tmp_path), 3) as pool:
        parts = list(pool.run(_blocks(10)))
    assert sorted(part.number for part in parts) == list(range(10))
    assert all(part.documents == 1 for part in parts)


def test_error_of_a_worker_is_raised_here(bpe: Tokenizer, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    job = _job(load_tokenizer(tmp_path), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with (
        pytest.raises(TokenizerError, match="is not a readable tokenizer"),
        WorkerPool(job, 1) as pool,
    ):
        list(pool.run(_blocks(1)))


def test_killed_worker(bpe: Tokenizer, tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="killed, probably for want of memory"),
        WorkerPool(_job(bpe, tmp_path), 1) as pool,
    ):
        for part in pool.run(_blocks(3)):
            if part.number == 0:
                for process in pool.processes:
                    process.kill()
                    process.wait()
