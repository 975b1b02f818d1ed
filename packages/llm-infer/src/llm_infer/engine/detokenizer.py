"""Text from tokens as they come, never half a character and never text that is taken back.

A token may end inside a UTF-8 character; tokenizers show that as U+FFFD at the end of the text.
Such an end is held until it is whole, until it cannot become whole any more, or until the answer
ends. Decoding starts a few tokens before the new one (sentencepiece drops the space of a first
word), so that the work per token is constant.

Decoders differ in what they make of bytes that are no text: byte-level ones write U+FFFD once for
the beginning of a character, and leave what stands beside it; byte-fallback ones write it once a
byte, for every byte of the run in which one is wrong. Here whole characters come out in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]
"""Token ids to text."""

CONTEXT_TOKENS = 6
"""Prompt tokens that are decoded with the first tokens of the answer."""
HELD_TOKENS = 3
"""Most tokens, of a byte or more each, that an unfinished UTF-8 character can have."""

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """The text of one answer; `prompt_ids` gives its first token the right leading space."""

    def __init__(self, decode: Decode, prompt_ids: Sequence[int]) -> None:
        self._decode = decode
        self._window = _context(decode, list(prompt_ids[-CONTEXT_TOKENS:]))
        self._given = decode(self._window).rstrip(_INCOMPLETE) if self._window else ""
        self._boundary = len(self._window)

    def push(self, token_id: int) -> str:
        """The text that `token_id` completes; empty while a character is unfinished."""
        self._window.append(token_id)
        text = self._text()
        unfinished = _unfinished(text)
        if unfinished:
            return self._whole_end(text, unfinished) or self._hold(text, unfinished)
        new = self._new(text)
        self._shrink_window(text)
        return new

    def finish(self) -> str:
        """What was held back: the rest of an answer that ended inside a character."""
        return self._new(self._text()) if self._window else ""

    def _text(self) -> str:
        """The window's text; without the context, should bytes after it change how it reads."""
        text = self._decode(self._window)
        if text.startswith(self._given):
            return text
        self._window, self._boundary, self._given = self._window[self._boundary :], 0, ""
        return self._decode(self._window)

    def _new(self, text: str) -> str:
        if len(text) <= len(self._given):
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new

    def _shrink_window(self, text: str) -> None:
        """Forget tokens that can no longer change what follows; the rest starts at a character."""
        rest = self._window[self._boundary :]
        given = self._decode(rest)
        # A rest without text (special tokens) would lose the space before the next word.
        if given:
            self._window, self._given = rest, given
        else:
            self._given = text
        self._boundary = len(self._window)

    def _whole_end(self, text: str, unfinished: int) -> str:
        """What is new where the last tokens alone are whole characters; empty where they are not.

        A wrong byte before them made each of them U+FFFD in `text`.
        """
        count = len(self._window) - self._boundary
        for size in range(min(HELD_TOKENS, unfinished, count - 1), 0, -1):
            rest = self._window[-size:]
            end = self._decode(rest)
            if end and not _unfinished(end):
                new = self._new(text[:-size]) + end
                self._window, self._boundary, self._given = rest, size, end
                return new
        return ""

    def _hold(self, text: str, unfinished: int) -> str:
        """What is new before the bytes that may still become a character; the window has these."""
        held = min(unfinished, HELD_TOKENS)
        if len(self._window) - self._boundary <= HELD_TOKENS:
            return self._new(text[: len(text) - held])
        rest = self._window[-HELD_TOKENS:]
        end = self._decode(rest)
        held = min(held, _unfinished(end))
        new = self._new(text[: len(text) - held])
        self._window, self._boundary, self._given = rest, 0, end[: len(end) - held]
        return new


def _context(decode: Decode, ids: list[int]) -> list[int]:
    """The longest end of `ids` without half characters, as far as it has one."""
    ends = (ids[start:] for start in range(len(ids)))
    return next((end for end in ends if _INCOMPLETE not in decode(end)), ids)


def _unfinished(text: str) -> int:
    """How many characters at the end stand for bytes that are no text, or none yet."""
    return len(text) - len(text.rstrip(_INCOMPLETE))
