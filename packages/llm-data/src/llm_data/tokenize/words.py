"""Chinese words, as models with whole-word masking and some older models want them.

`mark_words` is create_pretraining_data.py's `--cn_whole_word_segment`: the characters inside a word
become their `##` pieces. `space_words` is words_segmentation.py: a space between words.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer

_CHINESE = re.compile("[\u4e00-\u9fa5]")
LONGEST_WORD = 6
"""Tokens of a word at most, as in the original."""


def segment(text: str) -> list[str]:
    """Words of `text`; joined they are the text. Raises TokenizerError without jieba."""
    return list(_jieba().cut(text)) if _CHINESE.search(text) else [text]


def space_words(text: str) -> str:
    """`text` with a space between the words that are found in Chinese lines."""
    return "".join(
        " ".join(word for word in segment(line) if word.strip()) if _CHINESE.search(line) else line
        for line in re.split("(\n)", text)
    )


class WordMarks:
    """Turns ids of Chinese characters into the ids of their `##` pieces inside a word."""

    def __init__(self, tokenizer: Tokenizer, cut: Callable[[str], list[str]] = segment) -> None:
        """Raises TokenizerError when the tokenizer has no such pieces."""
        self._cut = cut
        pieces = {tokenizer.id_to_token(i) or "": i for i in range(tokenizer.vocab_size)}
        self._text = {
            i: piece for piece, i in pieces.items() if len(piece) == 1 and _CHINESE.match(piece)
        }
        self._inside = {
            i: pieces["##" + piece] for i, piece in self._text.items() if "##" + piece in pieces
        }
        if not self._inside:
            message = (
                f"--cn_whole_word_segment marks characters inside a word with ## pieces, and "
                f"{tokenizer.path} has none. For a space between words use --cn_space_words."
            )
            raise TokenizerError(message)

    def marked(self, ids: Sequence[int], text: str) -> list[int]:
        """Ids of `text` with the marks of its words."""
        words = set(self._cut(text))
        marked = list(ids)
        position = 0
        while position < len(ids):
            length = self._word(ids, position, words)
            for inside in range(position + 1, position + length):
                marked[inside] = self._inside.get(ids[inside], ids[inside])
            position += max(length, 1)
        return marked

    def _word(self, ids: Sequence[int], start: int, words: set[str]) -> int:
        """Tokens of the longest word that begins at `start`, 0 if none does."""
        characters: list[str] = []
        for token_id in ids[start : start + LONGEST_WORD]:
            if token_id not in self._text:
                break
            characters.append(self._text[token_id])
        for length in range(len(characters), 0, -1):
            if "".join(characters[:length]) in words:
                return length
        return 0


@functools.lru_cache(maxsize=1)
def _jieba() -> Any:
    try:
        import jieba
    except ImportError as error:
        message = (
            "Chinese word segmentation needs jieba, which is not installed. "
            "Install it with: pip install jieba"
        )
        raise TokenizerError(message) from error
    jieba.setLogLevel(logging.WARNING)
    return jieba
