"""The text and the bytes of single tokens, as logprobs tell them.

A token is decoded behind another one, because tokenizers drop the space before a first word. One
that ends inside a character has no text of its own; its bytes are read from the vocabulary, where
sentencepiece writes `<0xE4>` and byte-level tokenizers one character a byte (GPT-2's table).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

_ANCHOR = "a"
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + place): byte for place, byte in enumerate(_OTHERS)
}


@dataclass(frozen=True, slots=True)
class TokenText:
    """One token: its text, None where it has none of its own, its bytes, None where unknown."""

    text: str | None
    data: bytes | None
    width: int
    """Characters that begin in it; 0 for special tokens, which are no part of an answer."""

    @property
    def escaped(self) -> str:
        r"""The text, or the bytes written as \xe4."""
        if self.text is not None:
            return self.text
        return "".join(f"\\x{byte:02x}" for byte in self.data or b"")


class TokenTexts:
    """Texts of a tokenizer's tokens by id; each is decoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._anchor = tokenizer.encode(_ANCHOR)
        self._known: dict[int, TokenText] = {}

    def __getitem__(self, token_id: int) -> TokenText:
        """Return the text of one token."""
        known = self._known.get(token_id)
        if known is None:
            known = self._known[token_id] = self._decoded(token_id)
        return known

    def _decoded(self, token_id: int) -> TokenText:
        text = self._behind_anchor(token_id, skip_special_tokens=False)
        if _INCOMPLETE not in text:
            shown = self._behind_anchor(token_id, skip_special_tokens=True)
            return TokenText(text, text.encode(), len(shown))
        data = _stored_bytes(self._tokenizer.id_to_token(token_id))
        if data == text.encode():
            # The character itself, which a text may hold.
            return TokenText(text, data, len(text))
        begun = sum(byte & 0xC0 != 0x80 for byte in data) if data else len(text)
        return TokenText(None if data else text, data, begun)

    def _behind_anchor(self, token_id: int, *, skip_special_tokens: bool) -> str:
        ids = [*self._anchor, token_id]
        lead = self._tokenizer.decode(self._anchor, skip_special_tokens=skip_special_tokens)
        whole = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return whole.removeprefix(lead)


def _stored_bytes(piece: str | None) -> bytes | None:
    if not piece:
        return None
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    if all(character in _BYTES for character in piece):
        return bytes(_BYTES[character] for character in piece)
    return None
