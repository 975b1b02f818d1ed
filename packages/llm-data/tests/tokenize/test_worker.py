"""A worker whose parent was killed ends without a word."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from llm_data.sources import Block, Piece, TextFormat
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenizer import Tokenizer


@pytest.mark.parametrize("last_bytes", [None, 20])
def test_a_parent_that_is_gone(bpe: Tokenizer, tmp_path: Path, last_bytes: int | None) -> None:
    """Gone before the answer (None), or in the middle of a message."""
    job = Job(pickle.dumps(bpe), tmp_path, "uint16", TextFormat())
    block = pickle.dumps(Block(0, [Piece("f", 1, b'{"text": "a"}\n')]))
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "llm_data.tokenize.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    with worker:
        worker.stdout.close()
        worker.stdin.write(pickle.dumps(job) + block[:last_bytes])
        worker.stdin.close()
        assert worker.stderr.read() == b""
