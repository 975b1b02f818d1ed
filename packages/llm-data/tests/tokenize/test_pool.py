"""Worker processes: errors come back, a dead worker is explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_data.errors import DataError, TokenizerError
from llm_data.sources import Block, Piece, TextFormat
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenize.pool import WorkerPool
from llm_data.tokenizer import Tokenizer


def _job(tokenizer: Path, folder: Path) -> Job:
    return Job(tokenizer, folder, "uint16", TextFormat(), append_eos=False, strict=False)


def _blocks(count: int) -> Iterator[Block]:
    for number in range(count):
        yield Block(number, [Piece("f", 1, b'{"text": "%d"}\n' % number)])


def test_every_block_once(bpe: Tokenizer, tmp_path: Path) -> None:
    with WorkerPool(_job(bpe.path, tmp_path), 3) as pool:
        parts = list(pool.run(_blocks(10)))
    assert sorted(part.number for part in parts) == list(range(10))
    assert all(part.documents == 1 for part in parts)


def test_error_of_a_worker_is_raised_here(tmp_path: Path) -> None:
    with (
        pytest.raises(TokenizerError, match="does not exist"),
        WorkerPool(_job(tmp_path / "absent", tmp_path), 1) as pool,
    ):
        list(pool.run(_blocks(1)))


def test_killed_worker(bpe: Tokenizer, tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="killed, probably for want of memory"),
        WorkerPool(_job(bpe.path, tmp_path), 1) as pool,
    ):
        for part in pool.run(_blocks(3)):
            if part.number == 0:
                for process in pool.processes:
                    process.kill()
                    process.wait()
