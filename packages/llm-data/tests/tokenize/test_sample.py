"""Texts from the beginnings of files."""

from __future__ import annotations

from pathlib import Path

from llm_data.sources import TextFormat
from llm_data.tokenize.sample import FILES, sample_texts


def test_beginnings_of_some_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:02}.jsonl" for number in range(3 * FILES)]
    for number, path in enumerate(paths):
        path.write_text(f'{{"text": "{number} {"x " * 9000}"}}\n{{broken\n', encoding="utf-8")
    texts = sample_texts(paths, TextFormat())
    assert [text.split()[0] for text in texts] == [str(3 * number) for number in range(FILES)]
    assert {len(text) for text in texts} == {4096}
    assert len(sample_texts(paths[:2], TextFormat())) == 2
