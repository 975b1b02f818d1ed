"""Texts of single tokens, of every kind of tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_serve.token_text import TokenTexts

TEXTS = ["Hello, world", "  two  spaces\n", "naïve 你好 😀", "a \N{REPLACEMENT CHARACTER} b"]


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_a_byte_tokenizer_make_the_text(tokenizer: Tokenizer, text: str) -> None:
    texts = TokenTexts(tokenizer)
    tokens = [texts[token_id] for token_id in tokenizer.encode(text)]
    assert b"".join(token.data or b"" for token in tokens).decode() == text
    assert sum(token.width for token in tokens) == len(text)


def test_half_a_character_is_told_by_its_bytes(tokenizer: Tokenizer) -> None:
    texts = TokenTexts(tokenizer)
    assert (texts[0xC3].text, texts[0xC3].escaped, texts[0xC3].width) == (None, "\\xc3", 1)
    assert (texts[0xA4].data, texts[0xA4].width) == (b"\xa4", 0)


def test_special_tokens_have_a_text_but_are_no_part_of_the_answer(tokenizer: Tokenizer) -> None:
    token = TokenTexts(tokenizer)[256]
    assert (token.text, token.width) == ("<|endoftext|>", 0)


def test_real_tokenizers(shared_real: Path) -> None:
    folders = [folder for folder in (shared_real / "tokenizers").iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        tokenizer = load_tokenizer(folder)
        texts = TokenTexts(tokenizer)
        for text in TEXTS[:3]:
            # What decoding gives back: some tokenizers normalize.
            ids = tokenizer.encode(f"a{text}")
            whole = tokenizer.decode(ids)
            parts = [texts[token_id].data for token_id in ids]
            assert b"".join(part or b"?" for part in parts).decode().strip() == whole.strip(), (
                folder,
                text,
            )
