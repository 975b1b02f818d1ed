"""Blocks: whole documents, the same from any restart, in every compression."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import RecordError
from llm_data.sources import Block, Position, read_blocks

LINES = st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=9))


def _all(paths: list[Path], unit: str, size: int) -> list[Block]:
    return list(read_blocks(paths, unit, size=size, start=Position()))


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(LINES, min_size=1, max_size=3), size=st.integers(1, 40), cut=st.integers(0, 9)
)
def test_lines(files: list[list[str]], size: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jsonl" for i in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_text("\n".join(lines), encoding="utf-8", newline="\n")
        blocks = _all(paths, "line", size)
        assert [block.number for block in blocks] == list(range(len(blocks)))
        for path, lines in zip(paths, files, strict=True):
            pieces = [p for block in blocks for p in block.pieces if p.path == str(path)]
            assert b"".join(piece.data for piece in pieces).decode() == "\n".join(lines)
            assert all(piece.data.endswith(b"\n") for piece in pieces[:-1])
            for piece in pieces:
                first = piece.data.split(b"\n")[0].decode()
                assert first == lines[piece.first_line - 1]
        if blocks:
            done = blocks[: cut % len(blocks) + 1]
            rest = read_blocks(paths, "line", size=size, number=len(done), start=done[-1].end)
            assert [block.pieces for block in [*done, *rest]] == [b.pieces for b in blocks]


def test_paragraphs_are_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    text = "\n\n".join(f"para {i}\nline two" for i in range(50)) + "\n \t\nlast"
    path.write_text(text, encoding="utf-8")
    blocks = _all([path], "paragraph", 60)
    assert len(blocks) > 5
    data = [piece.data.decode() for block in blocks for piece in block.pieces]
    assert "".join(data) == text
    assert all(part.startswith(("para", "last")) for part in data)


def test_whole_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.txt" for i in range(4)]
    for number, path in enumerate(paths):
        path.write_text(f"{number}\n\n" * 100, encoding="utf-8")
    blocks = _all(paths, "file", 50)
    assert [len(block.pieces) for block in blocks] == [1, 1, 1, 1]
    assert len(_all(paths, "file", 10_000)) == 1
    assert sum(block.consumed for block in blocks) == sum(p.stat().st_size for p in paths)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_give_the_same_blocks(tmp_path: Path, suffix: str) -> None:
    text = b"".join(b'{"text": "%d"}\n' % i for i in range(5000))
    plain, packed = tmp_path / "a.jsonl", tmp_path / f"a.jsonl{suffix}"
    plain.write_bytes(text)
    half = len(text) // 2
    # Two frames one after the other, as `cat a.zst b.zst` makes them.
    compress = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
    packed.write_bytes(compress(text[:half]) + compress(text[half:]))
    expected = _all([plain], "line", 9000)
    blocks = _all([packed], "line", 9000)
    assert [[p.data for p in b.pieces] for b in blocks] == [
        [p.data for p in b.pieces] for b in expected
    ]
    assert sum(block.consumed for block in blocks) == packed.stat().st_size
    later = list(read_blocks([packed], "line", size=9000, number=3, start=blocks[2].end))
    assert [b.pieces for b in later] == [b.pieces for b in blocks[3:]]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged_compression_is_no_shorter_file(tmp_path: Path, suffix: str, damage: str) -> None:
    text = b"".join(b'{"text": "%d"}\n' % (i * 7919) for i in range(5000))
    compress = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
    data = compress(text)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(data[:-20] if damage == "cut" else b"noise" + data[5:])
    with pytest.raises(RecordError, match="damaged"):
        _all([path], "line", 1000)


def test_zstandard_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(RecordError, match=r"pip install zstandard"):
        _all([tmp_path / "a.jsonl.zst"], "line", 10)


def test_a_document_beyond_all_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_data.sources.blocks.LONGEST_DOCUMENT", 1000)
    (tmp_path / "a.txt").write_text("x\n" * 2000, encoding="utf-8")
    with pytest.raises(RecordError, match="--text_document line or paragraph"):
        _all([tmp_path / "a.txt"], "file", 100)
