"""Log probabilities in the two shapes of the OpenAI interface.

There is an entry for every token that was generated, those of a stop text and the end token too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from llm_infer.engine import Logprobs
from llm_serve.token_text import TokenText, TokenTexts

LOWEST = -9999.0
"""What OpenAI writes for what cannot be: JSON has no infinity."""


class LogprobsBody(Protocol):
    """Builds the `logprobs` object of a choice; call it with the tokens in their order."""

    def __call__(self, index: int, entries: Sequence[Logprobs]) -> dict[str, Any] | None:
        """Return the object for these tokens of choice `index`, None where there are none."""


class CompletionLogprobs:
    """`tokens`, `token_logprobs`, `top_logprobs` and `text_offset`, lists of equal length.

    An entry of `top_logprobs` holds the likeliest tokens, and the one that was chosen. Where
    nothing stands before a token, both entries are null.
    """

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts
        self._offsets: dict[int, int] = {}

    def __call__(self, index: int, entries: Sequence[Logprobs]) -> dict[str, Any] | None:
        """Return the object for these tokens of choice `index`, None where there are none."""
        if not entries:
            return None
        offsets = []
        for one in entries:
            offset = self._offsets.get(index, 0)
            offsets.append(offset)
            self._offsets[index] = offset + self._texts[one.token_id].width
        return {
            "tokens": [_key(self._texts[one.token_id]) for one in entries],
            "token_logprobs": [_bounded(one.logprob) if _known(one) else None for one in entries],
            "top_logprobs": [self._top(one) if _known(one) else None for one in entries],
            "text_offset": offsets,
        }

    def _top(self, one: Logprobs) -> dict[str, float]:
        found: dict[str, float] = {}
        for token_id, logprob in (*one.top, (one.token_id, one.logprob)):
            # Two tokens may have one text; the likelier one is told.
            found.setdefault(_key(self._texts[token_id]), _bounded(logprob))
        return found


class ChatLogprobs:
    """`content`: of every token its text, logprob, bytes and likeliest alternatives."""

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts

    def __call__(self, index: int, entries: Sequence[Logprobs]) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the object for these tokens of choice `index`, None where there are none."""
        if not entries:
            return None
        content = [
            {
                **self._token(one.token_id, one.logprob),
                "top_logprobs": [self._token(*pair) for pair in one.top],
            }
            for one in entries
        ]
        return {"content": content, "refusal": None}

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        token = self._texts[token_id]
        data = None if token.data is None else list(token.data)
        return {"token": token.escaped, "logprob": _bounded(logprob), "bytes": data}


def _key(token: TokenText) -> str:
    return token.text if token.text is not None else f"bytes:{token.escaped}"


def _known(one: Logprobs) -> bool:
    return not math.isnan(one.logprob)


def _bounded(logprob: float) -> float:
    return max(logprob, LOWEST)
