"""Tokenizers stored as a sentencepiece model (LLaMA and its relatives, Baichuan, ChatGLM2 and 3).

`legacy` in tokenizer_config.json (default true) chooses, as in the original LlamaTokenizer,
whether a text is prefixed by sentencepiece itself or by us, which keeps a text's leading space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_data.tokenizer.appended import Appended, appended_of
from llm_data.tokenizer.copying import copy_tokenizer_files
from llm_data.tokenizer.pieces import decode_runs, load_pieces, longest_first
from llm_data.tokenizer.roles import Roles
from llm_data.tokenizer.special_tokens import SpecialTokens, read_special_tokens

_UNDERLINE = "\u2581"


class SentencePieceTokenizer(Roles):
    """`Tokenizer` over a sentencepiece model and the config files beside it."""

    def __init__(self, file: Path) -> None:
        """Raises TokenizerError when the model is corrupt or sentencepiece is not installed."""
        self.file = file
        self.path = file.parent
        self._model = load_pieces(file)
        special = read_special_tokens(self.path)
        self._config = special.config
        self.legacy = bool(self._config.get("legacy", True))
        self._pieces = int(self._model.get_piece_size())
        appended = appended_of(special.config, self._pieces)
        self.roles = {
            "bos_token": self._control(self._model.bos_id()),
            "eos_token": self._control(self._model.eos_id()),
            "pad_token": self._control(self._model.pad_id()),
            "unk_token": self._control(self._model.unk_id()),
            **appended.roles,
            **special.roles,
        }
        self._collect(special, appended)
        self._before, self._after = self._around(appended)
        self.added = any(text not in self.special_tokens for text in self._added)
        """Whether there are tokens beside the model that are found in every text."""
        self._always = longest_first(set(self._added) - set(self.special_tokens))
        self._special_pattern = longest_first({*self._added, *self.special_tokens})

    def _collect(self, special: SpecialTokens, appended: Appended) -> None:
        size = self._pieces
        ids = {text: size + i for i, text in enumerate(appended.texts)}
        ids |= special.added_ids
        ids |= {text: int(entry["id"]) for text, entry in special.plain.items()}
        self._added = {text: i for text, i in ids.items() if i >= size}
        self._added_texts = {i: text for text, i in self._added.items()}
        self.vocab_size = max([size - 1, *self._added.values()]) + 1
        self.special_tokens = {}
        for text in (*self.roles.values(), *special.texts(), *appended.texts):
            token_id = None if text is None else self._token_to_id(text)
            if text is not None and token_id is not None:
                self.special_tokens[text] = token_id
        self._special_ids = frozenset(self.special_tokens.values())

    def _around(self, appended: Appended) -> tuple[list[int], list[int]]:
        if appended.before:
            return [self._added[text] for text in appended.before], []
        bos, eos = self.bos_token_id, self.eos_token_id
        before = [bos] if bos is not None and self._config.get("add_bos_token", True) else []
        after = [eos] if eos is not None and self._config.get("add_eos_token", False) else []
        return before, after

    def __reduce__(self) -> tuple[type[SentencePieceTokenizer], tuple[Path]]:
        return SentencePieceTokenizer, (self.file,)

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
        ids = self._encode_parts(text, parse_special=parse_special)
        return [*self._before, *ids, *self._after] if add_special_tokens else ids

    def _encode_parts(self, text: str, *, parse_special: bool) -> list[int]:
        pattern = self._special_pattern if parse_special else self._always
        ids: list[int] = []
        position = 0
        for match in pattern.finditer(text):
            ids += self._encode_piece(text[position : match.start()], first=position == 0)
            found = match.group()
            ids.append(self._added[found] if found in self._added else self.special_tokens[found])
            position = match.end()
        return ids + self._encode_piece(text[position:], first=position == 0)

    def _encode_piece(self, text: str, *, first: bool) -> list[int]:
        if not text:
            return []
        if self.legacy:
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

        def apart(token_id: int) -> str | None:
            if token_id in self._special_ids:
                return "" if skip_special_tokens else self.id_to_token(token_id)
            return self._added_texts.get(token_id)

        # Models often have rows for more ids than the tokenizer has pieces.
        return decode_runs(ids, apart, lambda i: 0 <= i < self._pieces, self._model.decode)

    def id_to_token(self, token_id: int) -> str | None:
        """The stored piece with this id."""
        if token_id in self._added_texts:
            return self._added_texts[token_id]
        inside = 0 <= token_id < self._pieces
        return str(self._model.id_to_piece(token_id)) if inside else None

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
        copy_tokenizer_files(self.path, folder, (self.file.name,))
