"""Text from tokens as they come, never half a character and never text that is taken back.

A token may end inside a UTF-8 character; tokenizers show that as U+FFFD at the end of the text.
Such an end is held until it is whole, or until the answer ends. Decoding starts a few tokens before
the new one (sentencepiece drops the space of a first word), so that the work per token is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]
"""Token ids to text."""

CONTEXT_TOKENS = 6
"""Prompt tokens that are decoded with the first tokens of the answer."""

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """The text of one answer; `prompt_ids` gives its first token the right leading space."""

    def __init__(self, decode: Decode, prompt_ids: Sequence[int]) -> None:
        self._decode = decode
        self._window = list(prompt_ids[-CONTEXT_TOKENS:])
        self._given = decode(self._window).rstrip(_INCOMPLETE) if self._window else ""
        self._boundary = len(self._window)

    def push(self, token_id: int) -> str:
        """The text that `token_id` completes; empty while a character is unfinished."""
        self._window.append(token_id)
        text = self._decode(self._window)
        whole = text.rstrip(_INCOMPLETE)
        new = self._new(whole)
        if len(whole) == len(text):
            self._narrow(text)
        return new

    def finish(self) -> str:
        """What was held back: the rest of an answer that ended inside a character."""
        return self._new(self._decode(self._window)) if self._window else ""

    def _new(self, text: str) -> str:
        if len(text) <= len(self._given):
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new

    def _narrow(self, text: str) -> None:
        """Forget tokens that can no longer change what follows; the rest starts at a character."""
        rest = self._window[self._boundary :]
        given = self._decode(rest)
        # A rest without text (special tokens) would lose the space before the next word.
        if given:
            self._window, self._given = rest, given
        else:
            self._given = text
        self._boundary = len(self._window)
