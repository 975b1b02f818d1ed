"""The JSON of the answers, as the OpenAI interface spells it.

One class for completions, one for chat completions; both build the whole answer and the chunks of
a stream from the same pieces. Nothing here waits or fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from llm_serve.generation import Piece, Usage


def usage_body(usage: Usage) -> dict[str, int]:
    """Return the `usage` object: tokens of the prompts, of the answers and in all."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class Answer(Protocol):
    """One answer in the making; `created` is in seconds since 1970."""

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """Return the chunks that come before any text."""

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return the chunk of a stream that carries a piece."""

    def last(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk of token counts that may end a stream."""

    def whole(
        self, texts: Sequence[str], finishes: Sequence[str | None], usage: Usage
    ) -> dict[str, Any]:
        """Return the answer in one piece, choice i with texts[i] and finishes[i]."""


@dataclass
class _Base:
    model: str
    created: int
    counts_usage: bool = False
    prefix: ClassVar[str]
    chunk_object: ClassVar[str]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"

    def last(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk of token counts that may end a stream."""
        return {**self._head(self.chunk_object), "choices": [], "usage": usage_body(usage)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        body = {**self._head(self.chunk_object), "choices": [choice]}
        # Clients that ask for counts expect the key in every chunk, empty until the last.
        return {**body, "usage": None} if self.counts_usage else body


class CompletionAnswer(_Base):
    """Answer of `/v1/completions`."""

    prefix = "cmpl"
    chunk_object = "text_completion"

    def opening(self, choices: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return no chunk: a completion's stream begins with its text."""
        return []

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return the chunk of a stream that carries a piece."""
        return self._chunk(self._choice(piece.index, piece.text, piece.finish))

    def whole(
        self, texts: Sequence[str], finishes: Sequence[str | None], usage: Usage
    ) -> dict[str, Any]:
        """Return the answer in one piece, choice i with texts[i] and finishes[i]."""
        pairs = zip(texts, finishes, strict=True)
        choices = [self._choice(index, text, end) for index, (text, end) in enumerate(pairs)]
        return {
            **self._head("text_completion"),
            "choices": choices,
            "usage": usage_body(usage),
        }

    @staticmethod
    def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


class ChatAnswer(_Base):
    """Answer of `/v1/chat/completions`."""

    prefix = "chatcmpl"
    chunk_object = "chat.completion.chunk"

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """Return one chunk a choice that names the role of the speaker."""
        return [
            self._chunk(self._delta(index, {"role": "assistant", "content": ""}, None))
            for index in range(choices)
        ]

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return the chunk of a stream that carries a piece."""
        delta = {"content": piece.text} if piece.text else {}
        return self._chunk(self._delta(piece.index, delta, piece.finish))

    def whole(
        self, texts: Sequence[str], finishes: Sequence[str | None], usage: Usage
    ) -> dict[str, Any]:
        """Return the answer in one piece, choice i with texts[i] and finishes[i]."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": finish,
            }
            for index, (text, finish) in enumerate(zip(texts, finishes, strict=True))
        ]
        return {
            **self._head("chat.completion"),
            "choices": choices,
            "usage": usage_body(usage),
        }

    @staticmethod
    def _delta(index: int, delta: dict[str, str], finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
