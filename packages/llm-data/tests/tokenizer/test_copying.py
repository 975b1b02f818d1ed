"""Copies of tokenizer files."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer import load_tokenizer
from llm_data.tokenizer.copying import copy_tokenizer_files


def test_only_tokenizer_files_are_copied(bpe_folder: Path, tmp_path: Path) -> None:
    copy_tokenizer_files(bpe_folder, tmp_path, ("tokenizer.json",))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    load_tokenizer(tmp_path).save(tmp_path)


def test_target_must_exist(bpe_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="does not exist"):
        copy_tokenizer_files(bpe_folder, tmp_path / "absent", ())
