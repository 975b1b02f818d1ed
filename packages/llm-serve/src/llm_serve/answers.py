"""The JSON of the answers, as the OpenAI interface spells it.

One class for completions, one for chat completions; both build the whole answer and the chunks of
a stream from the same pieces. Nothing here waits or fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from llm_infer.engine import Logprobs
from llm_serve.generation import Gathered, Piece, Usage
from llm_serve.logprobs import LogprobsBody


def usage_body(usage: Usage) -> dict[str, int]:
    """Return the `usage` object: tokens of the prompts, of the answers and in all."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def gathered(piece: Piece) -> Gathered:
    """Return a choice of one piece."""
    choice = Gathered()
    choice.add(piece)
    return choice


class Answer(Protocol):
    """One answer in the making; `created` is in seconds since 1970."""

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """Return the chunks that come before any text."""

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return the chunk of a stream that carries a piece."""

    def last(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk of token counts that may end a stream."""

    def whole(self, choices: Sequence[Gathered], usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""


@dataclass
class _Base:
    model: str
    created: int
    counts_usage: bool = False
    logprobs: LogprobsBody | None = None
    prefix: ClassVar[str]
    chunk_object: ClassVar[str]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"

    def last(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk of token counts that may end a stream."""
        return {**self._head(self.chunk_object), "choices": [], "usage": usage_body(usage)}

    def _logprobs(self, index: int, entries: Sequence[Logprobs]) -> dict[str, Any] | None:
        return self.logprobs(index, entries) if self.logprobs else None

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
        return self._chunk(self._choice(piece.index, gathered(piece)))

    def whole(self, choices: Sequence[Gathered], usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""
        return {
            **self._head("text_completion"),
            "choices": [self._choice(index, choice) for index, choice in enumerate(choices)],
            "usage": usage_body(usage),
        }

    def _choice(self, index: int, choice: Gathered) -> dict[str, Any]:
        return {
            "index": index,
            "text": choice.text,
            "logprobs": self._logprobs(index, choice.logprobs),
            "finish_reason": choice.finish,
        }


class ChatAnswer(_Base):
    """Answer of `/v1/chat/completions`."""

    prefix = "chatcmpl"
    chunk_object = "chat.completion.chunk"

    def opening(self, choices: int) -> list[dict[str, Any]]:
        """Return one chunk a choice that names the role of the speaker."""
        return [
            self._chunk(self._delta(index, {"role": "assistant", "content": ""}, Gathered()))
            for index in range(choices)
        ]

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return the chunk of a stream that carries a piece."""
        delta = {"content": piece.text} if piece.text or piece.logprobs else {}
        return self._chunk(self._delta(piece.index, delta, gathered(piece)))

    def whole(self, choices: Sequence[Gathered], usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""
        bodies = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.text},
                "logprobs": self._logprobs(index, choice.logprobs),
                "finish_reason": choice.finish,
            }
            for index, choice in enumerate(choices)
        ]
        return {
            **self._head("chat.completion"),
            "choices": bodies,
            "usage": usage_body(usage),
        }

    def _delta(self, index: int, delta: dict[str, str], choice: Gathered) -> dict[str, Any]:
        return {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(index, choice.logprobs),
            "finish_reason": choice.finish,
        }
