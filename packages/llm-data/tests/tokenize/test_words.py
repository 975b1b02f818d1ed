"""Chinese words: marks inside, spaces between, what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenize.words import WordMarks, segment, space_words
from llm_data.tokenizer import Tokenizer, load_tokenizer

TEXT = "\u6211\u4eec\u53bb\u516c\u56ed"
"""We go (to the) park: two, one and two characters."""


@pytest.fixture
def wordpiece(tmp_path: Path) -> Tokenizer:
    """One character a token, with ## pieces."""
    import tokenizers

    pieces = ["[UNK]", "a", *TEXT, *(f"##{character}" for character in TEXT)]
    model = tokenizers.models.WordPiece(
        {piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"
    )
    library = tokenizers.Tokenizer(model)
    library.normalizer = tokenizers.normalizers.BertNormalizer()
    library.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    library.save(str(tmp_path / "tokenizer.json"))
    return load_tokenizer(tmp_path)


def test_characters_inside_a_word_are_marked(wordpiece: Tokenizer) -> None:
    marks = WordMarks(wordpiece, lambda _: [TEXT[:2], TEXT[2], TEXT[3:], "a"])
    text = f"a {TEXT}"
    ids = marks.marked(wordpiece.encode(text), text)
    pieces = [wordpiece.id_to_token(i) for i in ids]
    assert pieces == ["a", TEXT[0], f"##{TEXT[1]}", TEXT[2], TEXT[3], f"##{TEXT[4]}"]


def test_a_vocabulary_without_marks(bpe: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="--cn_space_words"):
        WordMarks(bpe)


def test_words_of_jieba() -> None:
    pytest.importorskip("jieba")
    assert segment(TEXT) == [TEXT[:2], TEXT[2], TEXT[3:]]
    assert segment("plain text") == ["plain text"]
    assert space_words(f"ab c\n{TEXT}\n") == f"ab c\n{TEXT[:2]} {TEXT[2]} {TEXT[3:]}\n"


def test_missing_jieba_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_data.tokenize import words

    words._jieba.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jieba", None)
    with pytest.raises(TokenizerError, match=r"pip install jieba"):
        segment(TEXT)


def test_fixture_is_what_it_says(wordpiece: Tokenizer) -> None:
    content = json.loads((wordpiece.path / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["model"]["type"] == "WordPiece"
