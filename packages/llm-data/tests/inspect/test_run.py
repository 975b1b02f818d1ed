"""What `llm data inspect` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import SampleError
from llm_data.indexed import IndexedWriter
from llm_data.inspect.options import InspectOptions
from llm_data.inspect.run import inspect
from llm_data.tokenizer import Tokenizer


def _inspect(path: Path, bpe: Tokenizer, **changes: Any) -> None:
    fields = {"input_path": str(path), "tokenizer_name_or_path": str(bpe.path), **changes}
    inspect(InspectOptions(**fields))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two records."""
    path = tmp_path / "a.json"
    records = [{"src": "import os", "tgt": "yes 你"}, {"src": "x", "tgt": "y"}]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def test_samples(
    data: Path,
    bpe: Tokenizer,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        _inspect(data, bpe)
    out = capsys.readouterr().out
    assert (out + caplog.text).count("2 samples of 2 records") == 1
    assert f"sample 0 ({data}:1)" in out
    joined = out.replace(" ", "")
    assert "import·os[yes·……你<|endoftext|>]" in joined
    assert "sample 1" in out


def test_packed_rows(data: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    _inspect(data, bpe, zero_padding=True, start=0)
    out = capsys.readouterr().out
    assert "row 0: samples [0, 1]" in out
    assert out.count("<|endoftext|>]") == 2
    assert out.count("     0 ") == 2, "positions start again with every sample"


def test_listing(data: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    _inspect(data, bpe, tokens=True, num_samples=1)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    labels = [row[4].strip() for row in rows]
    assert labels[0] == "-100"
    assert labels[-1] == "0"
    assert rows[-1][6].strip() == "<|endoftext|>"


def test_documents(bpe: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with IndexedWriter(tmp_path / "p", np.uint16) as writer:
        writer.add_document([*bpe.encode("hello there"), 0])
        writer.add_document([599, 600])
    _inspect(tmp_path / "p.bin", bpe, num_samples=1)
    out = capsys.readouterr().out
    assert "2 documents" in out
    size = len(bpe.encode("hello there")) + 1
    assert f"document 0: {size} tokens, all learnt" in out
    marked = out.replace(" ", "").replace("[", "", 1)
    assert "hello·there<|endoftext|>]" in marked
    with pytest.raises(SampleError, match="made with another tokenizer"):
        _inspect(tmp_path / "p", bpe, start=1)
    with pytest.raises(SampleError, match="beyond the last document: there are 2"):
        _inspect(tmp_path / "p", bpe, start=2)


def test_long_documents_are_cut_unless_asked(
    bpe: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with IndexedWriter(tmp_path / "p", np.uint16) as writer:
        writer.add_document([*bpe.encode("a b " * 2000), 0])
        count = len(bpe.encode("a b " * 2000)) + 1
    _inspect(tmp_path / "p", bpe)
    out = capsys.readouterr().out
    assert f"document 0: {count:,} tokens, all learnt" in out
    assert f"{count - 240:,} tokens are left out; --max_tokens 0 shows all" in out
    starts = [int(line.split()[0]) for line in out.splitlines() if line[:6].strip().isdecimal()]
    assert starts == [*range(0, 120, 24), *range(count - 120, count, 24)]
    assert "<|endoftext|>]" in out
    _inspect(tmp_path / "p", bpe, max_tokens=0)
    out = capsys.readouterr().out
    assert len(out.splitlines()) > count // 24
    assert "left out" not in out
    _inspect(tmp_path / "p", bpe, max_tokens=5, tokens=True)
    out = capsys.readouterr().out
    rows = [line.split("│")[1].strip() for line in out.splitlines() if "│" in line]
    assert rows == ["0", "1", "2", str(count - 2), str(count - 1)]
    assert f"{count - 5:,} tokens in the middle" in " ".join(out.split())


def test_packed_rows_are_cut_as_a_whole(
    data: Path, bpe: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    _inspect(data, bpe, zero_padding=True)
    whole = capsys.readouterr().out
    assert "left out" not in whole
    _inspect(data, bpe, zero_padding=True, max_tokens=4)
    out = capsys.readouterr().out
    assert out.count("left out") == 1
    first, note, last = out.splitlines()[-3:]
    assert "left out" in note
    text = bpe.decode(bpe.encode("import os")[:2])
    assert first.replace(" ", "") == f"0{text}"
    assert last.endswith("[y <|endoftext|>]")
    assert "你" not in out
