"""The right reader is chosen by the files; what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer import load_tokenizer
from llm_data.tokenizer.hugging_face import HuggingFaceTokenizer
from llm_data.tokenizer.sentencepiece_model import SentencePieceTokenizer


def test_chosen_by_files(bpe_folder: Path, sentencepiece_folder: Path) -> None:
    assert isinstance(load_tokenizer(bpe_folder), HuggingFaceTokenizer)
    assert isinstance(load_tokenizer(bpe_folder / "tokenizer.json"), HuggingFaceTokenizer)
    assert isinstance(load_tokenizer(sentencepiece_folder), SentencePieceTokenizer)
    assert isinstance(
        load_tokenizer(sentencepiece_folder / "tokenizer.model"), SentencePieceTokenizer
    )


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="does not exist"):
        load_tokenizer(tmp_path / "absent")


def test_folder_without_tokenizer_says_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json.*found config\.json"):
        load_tokenizer(tmp_path)


def test_unknown_file_name(tmp_path: Path) -> None:
    (tmp_path / "words.bin").write_bytes(b"x")
    with pytest.raises(TokenizerError, match="not known"):
        load_tokenizer(tmp_path / "words.bin")
