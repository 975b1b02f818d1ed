"""Tokenizers that the `tokenizers` library runs: `tokenizer.json`, and what is built in its form.

A truncation or padding that was saved in the file is switched off: it would cut or fill texts
without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from llm_data.errors import TokenizerError
from llm_data.tokenizer.copying import copy_tokenizer_files
from llm_data.tokenizer.roles import Roles
from llm_data.tokenizer.special_tokens import SpecialTokens, read_special_tokens

MODEL_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model")


def read_tokenizer_json(folder: Path, _special: SpecialTokens) -> Any:
    """The library's tokenizer of `tokenizer.json`. Raises TokenizerError when it is corrupt."""
    path = folder / "tokenizer.json"
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    # The library raises bare Exception for every kind of damage.
    except Exception as error:
        message = f"{path} is not a readable tokenizer ({error}). Copy it again from its origin."
        raise TokenizerError(message) from error


class HuggingFaceTokenizer(Roles):
    """`Tokenizer` over the files of one folder."""

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path, SpecialTokens], Any] = read_tokenizer_json,
        read_special: Callable[[Path], SpecialTokens] = read_special_tokens,
    ) -> None:
        """read: makes the library's tokenizer from the files; a function of a module.

        Raises TokenizerError when a file is corrupt.
        """
        self.path = folder
        self._read = read
        self._read_special = read_special
        self._special = read_special(folder)
        self.roles = self._special.roles
        # One instance for texts of users, another (made when asked for) that parses specials:
        # the switch is a property of the instance, and flipping it is not safe between threads.
        self._plain = self._instance(parse_special=False)
        vocabulary = self._plain.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocabulary.values(), default=-1) + 1
        added = self._plain.get_added_tokens_decoder()
        self.special_tokens = {token.content: i for i, token in added.items() if token.special}

    def __reduce__(self) -> tuple[type[HuggingFaceTokenizer], tuple[Any, ...]]:
        return HuggingFaceTokenizer, (self.path, self._read, self._read_special)

    @cached_property
    def _parsing(self) -> Any:
        return self._instance(parse_special=True)

    def _instance(self, *, parse_special: bool) -> Any:
        tokenizer = self._read(self.path, self._special)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        # Special by config only: the vocabulary has the piece, and decoding must know to skip it.
        missing = [text for text in self._special.texts() if text not in known]
        tokenizer.add_special_tokens([t for t in missing if tokenizer.token_to_id(t) is not None])
        tokenizer.encode_special_tokens = not parse_special
        return tokenizer

    def encode(
        self, text: str, add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[int]:
        """Ids of `text` (see `Tokenizer.encode`)."""
        tokenizer = self._parsing if parse_special else self._plain
        return list(tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[list[int]]:
        """Ids of each text; uses the library's threads."""
        tokenizer = self._parsing if parse_special else self._plain
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
        return [list(item.ids) for item in encoded]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of `ids`."""
        return str(self._plain.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def id_to_token(self, token_id: int) -> str | None:
        """The stored piece with this id."""
        piece = self._plain.id_to_token(token_id)
        return None if piece is None else str(piece)

    def plain_json(self) -> str:
        """The text of a tokenizer.json that gives the ids of `encode(text)`: no special token."""
        content = json.loads(self._plain.to_str())
        content["added_tokens"] = [t for t in content["added_tokens"] if not t["special"]]
        content["post_processor"] = None
        return json.dumps(content, ensure_ascii=False)

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
        copy_tokenizer_files(self.path, folder, MODEL_FILES)
