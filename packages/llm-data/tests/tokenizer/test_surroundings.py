"""What stands around a text."""

from __future__ import annotations

from pathlib import Path

from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.tokenizer.surroundings import Surroundings, surroundings


def test_found_by_encoding(bpe: Tokenizer, sentencepiece_folder: Path) -> None:
    assert surroundings(bpe) == Surroundings((), ())
    tokenizer = load_tokenizer(sentencepiece_folder)
    assert surroundings(tokenizer) == Surroundings((1,), ())


def test_taken_off_where_they_are() -> None:
    around = Surroundings((1,), (8, 9))
    assert around.taken_off([1, 5, 8, 9]) == [5]
    assert around.taken_off([5, 9]) == [5, 9]
    assert around.taken_off([1]) == []
    assert Surroundings((), ()).taken_off([1, 2]) == [1, 2]
