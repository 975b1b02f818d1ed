"""Tokenizers stored as a sentencepiece `tokenizer.model` (LLaMA and its relatives).

`legacy` in tokenizer_config.json (default true) chooses, as in the original LlamaTokenizer,
whether a text is prefixed by sentencepiece itself or by us, which keeps a text's leading space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_data.errors import TokenizerError
from llm_data.tokenizer.copying import copy_tokenizer_files
from llm_data.tokenizer.roles import Roles
from llm_data.tokenizer.special_tokens import read_special_tokens

_UNDERLINE = "\u2581"


class SentencePieceTokenizer(Roles):
    """`Tokenizer` over `tokenizer.model` and the config files beside it."""

    def __init__(self, folder: Path) -> None:
        """Raises TokenizerError when the model is corrupt or sentencepiece is not installed."""
        self.path = folder
        self._model = _read(folder / "tokenizer.model")
        special = read_special_tokens(folder)
        self._config = special.config
        self._legacy = bool(self._config.get("legacy", True))
        self.roles = {
            "bos_token": self._control(self._model.bos_id()),
            "eos_token": self._control(self._model.eos_id()),
            "pad_token": self._control(self._model.pad_id()),
            "unk_token": self._control(self._model.unk_id()),
            **special.roles,
        }
        self._pieces = size = int(self._model.get_piece_size())
        self._added = {text: i for text, i in special.added_ids.items() if i >= size}
        self._added_texts = {i: text for text, i in self._added.items()}
        self.vocab_size = max([size - 1, *self._added.values()]) + 1
        self.special_tokens = {}
        for text in (*self.roles.values(), *special.texts()):
            token_id = None if text is None else self._token_to_id(text)
            if text is not None and token_id is not None:
                self.special_tokens[text] = token_id
        self._special_ids = frozenset(self.special_tokens.values())
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def __reduce__(self) -> tuple[type[SentencePieceTokenizer], tuple[Path]]:
        return SentencePieceTokenizer, (self.path,)

    def _control(self, token_id: int) -> str | None:
        return None if token_id < 0 else str(self._model.id_to_piece(token_id))

    def _token_to_id(self, text: str) -> int | None:
        if text in self._added:
            return self._added[text]
        token_id = int(self._model.piece_to_id(text))
        known = str(self._model.id_to_piece(token_id)) == text
        return token_id if known else None

    def encode(
        self, text: str, add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[int]:
        """Ids of `text` (see `Tokenizer.encode`)."""
        ids = self._encode_special(text) if parse_special else self._encode_piece(text, first=True)
        if not add_special_tokens:
            return ids
        bos, eos = self.bos_token_id, self.eos_token_id
        before = [bos] if bos is not None and self._config.get("add_bos_token", True) else []
        after = [eos] if eos is not None and self._config.get("add_eos_token", False) else []
        return [*before, *ids, *after]

    def _encode_special(self, text: str) -> list[int]:
        ids: list[int] = []
        position = 0
        for match in self._special_pattern.finditer(text):
            ids += self._encode_piece(text[position : match.start()], first=position == 0)
            ids.append(self.special_tokens[match.group()])
            position = match.end()
        return ids + self._encode_piece(text[position:], first=position == 0)

    def _encode_piece(self, text: str, *, first: bool) -> list[int]:
        if not text:
            return []
        if self._legacy:
            return list(self._model.encode(text))
        text = text.replace(_UNDERLINE, " ")
        return self._without_prefix(_UNDERLINE + text if first else text)

    def _without_prefix(self, text: str) -> list[int]:
        """Ids of `text` without the space that sentencepiece puts before every text."""
        guard = self.roles["unk_token"] or "<unk>"
        return list(self._model.encode(guard + text))[len(self._model.encode(guard)) :]

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[list[int]]:
        """Ids of each text."""
        return [
            self.encode(text, add_special_tokens, parse_special=parse_special) for text in texts
        ]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of `ids`, without the leading space that encoding adds; unknown ids have none."""
        parts: list[str] = []
        run: list[int] = []
        for token_id in map(int, ids):
            if token_id not in self._special_ids and token_id not in self._added_texts:
                # Models often have rows for more ids than the tokenizer has pieces.
                if 0 <= token_id < self._pieces:
                    run.append(token_id)
                continue
            parts.append(self._model.decode(run) if run else "")
            run = []
            if not skip_special_tokens:
                parts.append(self.id_to_token(token_id) or "")
        parts.append(self._model.decode(run) if run else "")
        return "".join(parts)

    def id_to_token(self, token_id: int) -> str | None:
        """The stored piece with this id."""
        if token_id in self._added_texts:
            return self._added_texts[token_id]
        inside = 0 <= token_id < self._pieces
        return str(self._model.id_to_piece(token_id)) if inside else None

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
        copy_tokenizer_files(self.path, folder, ("tokenizer.model",))


def _read(path: Path) -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        message = (
            f"{path} is a sentencepiece model and sentencepiece is not installed. "
            "Install it with: pip install 'llm-toolchain-data[sentencepiece]'"
        )
        raise TokenizerError(message) from error
    model = sentencepiece.SentencePieceProcessor()
    try:
        loaded = model.LoadFromSerializedProto(path.read_bytes())
    except (OSError, RuntimeError) as error:
        loaded, cause = False, str(error)
    else:
        cause = "not a sentencepiece model"
    if not loaded:
        message = f"{path} is not a readable tokenizer ({cause}). Copy it again from its origin."
        raise TokenizerError(message)
    return model
