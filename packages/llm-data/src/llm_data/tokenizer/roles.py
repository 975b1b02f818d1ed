"""Ids of the special tokens that have a role; the same for every kind of tokenizer file."""

from __future__ import annotations

from collections.abc import Mapping


class Roles:
    """Base of tokenizers that know the text of each role and the id of each special token."""

    roles: Mapping[str, str | None]
    """`bos_token`, `eos_token`, ... -> text."""
    special_tokens: dict[str, int]
    """Text and id of every special token."""

    def _role(self, name: str) -> int | None:
        text = self.roles.get(name)
        return None if text is None else self.special_tokens.get(text)

    @property
    def bos_token_id(self) -> int | None:
        """Id that begins a text."""
        return self._role("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Id that ends a text."""
        return self._role("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        """Id that fills a batch."""
        return self._role("pad_token")
