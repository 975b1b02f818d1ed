"""One block to one part, in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llm_data.sources import Block, Piece, Position, TextFormat
from llm_data.tokenize.block_tokenizer import BlockTokenizer, Job
from llm_data.tokenizer import Tokenizer


def test_part(bpe: Tokenizer, tmp_path: Path) -> None:
    job = Job(bpe.path, tmp_path, "uint16", TextFormat(), append_eos=True, strict=False)
    data = b'{"text": "one"}\n{"body": 1}\n{"text": "two two"}\n'
    block = Block(3, [Piece("f", 7, data)], Position(0, 50, 10), consumed=len(data))
    part = BlockTokenizer(job).run(block)
    assert (part.number, part.documents, part.end) == (3, 2, Position(0, 50, 10))
    assert part.places == {"missing key 'text'": ["f:8"]}
    ids = [[*bpe.encode(text), 0] for text in ("one", "two two")]
    stored = (tmp_path / "00000003.bin").read_bytes()
    flat = np.frombuffer(stored[: part.tokens * 2], dtype=np.uint16)
    assert flat.tolist() == ids[0] + ids[1]
    sizes = np.frombuffer(stored[part.tokens * 2 :], dtype=np.int32)
    assert sizes.tolist() == [len(ids[0]), len(ids[1])]
