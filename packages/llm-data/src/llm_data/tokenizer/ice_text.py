"""ChatGLM-6B's tokenizer: `ice_text.model`, a sentencepiece model with rules for blanks around it.

Newlines, tabs and runs of 2 to 80 spaces are pieces of their own (`<n>`, `<|tab|>`, `<|blank_N|>`).
Ids begin after `num_image_tokens` (tokenizer_config.json; 0 if not named) ids of image tokens,
which have a text, `<image_N>`, and no piece. A text is followed by `[gMASK]` and `<sop>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from llm_data.tokenizer.copying import copy_tokenizer_files
from llm_data.tokenizer.pieces import decode_runs, load_pieces
from llm_data.tokenizer.roles import Roles
from llm_data.tokenizer.special_tokens import read_special_tokens

LONGEST_BLANK = 80
_BLANKS = re.compile(f" {{2,{LONGEST_BLANK}}}")
_WRITTEN = re.compile(r"<n>|<\|tab\|>|<\|blank_(\d+)\|>")
_ROLES = {
    "bos_token": "<sop>",
    "eos_token": "<eop>",
    "end_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "[MASK]",
    "gmask_token": "[gMASK]",
}


class IceTextTokenizer(Roles):
    """`Tokenizer` over `ice_text.model` and the config files beside it."""

    def __init__(self, folder: Path) -> None:
        """Raises TokenizerError when the model is corrupt or sentencepiece is not installed."""
        self.path = folder
        self._model = load_pieces(folder / "ice_text.model")
        special = read_special_tokens(folder)
        self.roles = {**_ROLES, **special.roles}
        self._images = int(special.config.get("num_image_tokens", 0))
        self._pieces = int(self._model.get_piece_size())
        self.vocab_size = self._images + self._pieces
        self.special_tokens = {}
        for i in range(self._pieces):
            if self._model.is_control(i) or self._model.is_unknown(i):
                self.special_tokens[str(self._model.id_to_piece(i))] = self._images + i
        self._special_texts = {i: text for text, i in self.special_tokens.items()}
        written = sorted(map(re.escape, self.special_tokens), key=len, reverse=True)
        image = [r"<image_(\d{1,9})>"] if self._images else []
        self._pattern = re.compile("|".join([*written, *image]))
        after = (special.config.get("gmask_token", "[gMASK]"), self.roles["bos_token"])
        self._after = [self.special_tokens[text] for text in after if text in self.special_tokens]

    def __reduce__(self) -> tuple[type[IceTextTokenizer], tuple[Path]]:
        return IceTextTokenizer, (self.path,)

    def encode(
        self, text: str, add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[int]:
        """Ids of `text` (see `Tokenizer.encode`); `<image_N>` is a special token too."""
        ids = self._encode_special(text) if parse_special else self._encode_text(text)
        return [*ids, *self._after] if add_special_tokens else ids

    def _encode_special(self, text: str) -> list[int]:
        ids: list[int] = []
        position = 0
        for match in self._pattern.finditer(text):
            token_id = self._special_id(match.group())
            if token_id is None:
                continue
            ids += self._encode_text(text[position : match.start()])
            ids.append(token_id)
            position = match.end()
        return ids + self._encode_text(text[position:])

    def _special_id(self, text: str) -> int | None:
        if text in self.special_tokens:
            return self.special_tokens[text]
        number = int(text.removeprefix("<image_").removesuffix(">"))
        return number if number < self._images else None

    def _encode_text(self, text: str) -> list[int]:
        if not text:
            return []
        text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
        text = _BLANKS.sub(lambda match: f"<|blank_{len(match.group())}|>", text)
        return [self._images + i for i in self._model.encode(text)]

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[list[int]]:
        """Ids of each text."""
        return [
            self.encode(text, add_special_tokens, parse_special=parse_special) for text in texts
        ]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of `ids`; ids that nothing has are left out."""

        def apart(token_id: int) -> str | None:
            if token_id in self._special_texts or 0 <= token_id < self._images:
                return "" if skip_special_tokens else self.id_to_token(token_id)
            return None

        def known(token_id: int) -> bool:
            return self._images <= token_id < self.vocab_size

        return decode_runs(ids, apart, known, self._decode_text)

    def _decode_text(self, ids: list[int]) -> str:
        text = str(self._model.decode([i - self._images for i in ids]))
        return _WRITTEN.sub(_blank, text)

    def id_to_token(self, token_id: int) -> str | None:
        """The stored piece with this id, `<image_N>` for an image token."""
        if not 0 <= token_id < self.vocab_size:
            return None
        if token_id < self._images:
            return f"<image_{token_id}>"
        return str(self._model.id_to_piece(token_id - self._images))

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
        copy_tokenizer_files(self.path, folder, ("ice_text.model",))


def _blank(match: re.Match[str]) -> str:
    if match.group(1) is None:
        return "\n" if match.group() == "<n>" else "\t"
    length = int(match.group(1))
    return " " * length if 2 <= length <= LONGEST_BLANK else match.group()
