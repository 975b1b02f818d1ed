"""What every tokenizer can do.

Texts that come from users are never searched for special tokens: a user who writes `</s>` gets
the characters of `</s>`. Only text that we wrote ourselves (a rendered chat template) is encoded
with `parse_special=True`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Tokenizer(Protocol):
    """Text to ids and back. Instances can be pickled (they reload from their files)."""

    @property
    def path(self) -> Path:
        """Folder that the tokenizer was loaded from."""

    @property
    def vocab_size(self) -> int:
        """V: the highest id, added tokens included, plus one."""

    @property
    def bos_token_id(self) -> int | None:
        """Id that begins a text, if the tokenizer has one."""

    @property
    def eos_token_id(self) -> int | None:
        """Id that ends a text, if the tokenizer has one."""

    @property
    def pad_token_id(self) -> int | None:
        """Id that fills a batch, if the tokenizer has one."""

    @property
    def special_tokens(self) -> dict[str, int]:
        """Text and id of every special token."""

    def encode(
        self, text: str, add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[int]:
        """Ids of `text`.

        add_special_tokens: put what the tokenizer puts around a text (often the BOS id).
        parse_special: a special token written in `text` becomes its one id.
        """

    def encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool = False, *, parse_special: bool = False
    ) -> list[list[int]]:
        """`encode` of each text, in order; may use several threads."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of `ids`; bytes that are no UTF-8 become U+FFFD."""

    def id_to_token(self, token_id: int) -> str | None:
        """The piece of the vocabulary with this id, as it is stored there."""

    def save(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into an existing folder."""
