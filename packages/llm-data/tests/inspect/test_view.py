"""Texts of single tokens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.inspect.view import token_texts
from llm_data.tokenizer import Tokenizer


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\ufffd\u2026"), max_size=30))
def test_together_they_are_the_text(bpe: Tokenizer, text: str) -> None:
    shown = list(token_texts(bpe.encode(text), bpe))
    assert len(shown) == len(bpe.encode(text))
    visible = text.translate(str.maketrans(" \n\t\r", "\u00b7\u23ce\u21e5\u240d"))
    assert "".join(shown).replace("\u2026", "") == visible


def test_bytes_that_are_no_text_do_not_hide_what_follows(bpe: Tokenizer) -> None:
    broken = [bpe.encode("你")[0]] * 6
    assert "".join(token_texts([*broken, *bpe.encode("ok")], bpe)).endswith("ok")
