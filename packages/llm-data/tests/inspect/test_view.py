"""Texts of single tokens."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.inspect.view import readable_piece, token_texts
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.train_tokenizer.options import TrainTokenizerOptions
from llm_data.train_tokenizer.run import train_tokenizer


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


def test_pieces_of_bytes_are_shown_as_their_text(tmp_path: Path) -> None:
    """Unless they are no whole characters; names that can be read stay as they are."""
    (tmp_path / "text.txt").write_text("你好 世界。 the same words, the same text\n" * 50, "utf-8")
    train_tokenizer(
        TrainTokenizerOptions(
            input_path=[str(tmp_path / "text.txt")],
            output_path=str(tmp_path / "tokenizer"),
            data_format="TEXT",
            vocab_size=400,
        )
    )
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    shown = [readable_piece(tokenizer, i) for i in range(tokenizer.vocab_size)]
    assert any("好" in piece for piece in shown)
    assert any("same" in piece for piece in shown)
    for token_id, piece in enumerate(shown):
        stored = tokenizer.id_to_token(token_id)
        text = tokenizer.decode([token_id], skip_special_tokens=False)
        assert piece in (stored, text.replace(" ", "\u00b7"))
        if any("\u4e00" <= letter <= "\u9fff" for letter in text):
            assert piece != stored


def test_pieces_of_characters_stay(sentencepiece_folder: Path) -> None:
    sentencepiece = load_tokenizer(sentencepiece_folder)
    for token_id in sentencepiece.encode("Hello 你好 world"):
        assert readable_piece(sentencepiece, token_id) == sentencepiece.id_to_token(token_id)
