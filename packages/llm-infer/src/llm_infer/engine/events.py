"""What a reader of a request gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from llm_infer.engine.sampling import Logprobs


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """A stop string, a stop id or the model's end-of-sequence token."""
    LENGTH = "length"
    """max_new_tokens were generated."""
    DEADLINE = "deadline"
    """timeout_s had passed; what was generated before is whole."""
    ABORT = "abort"
    """The reader, or the end of the engine, cancelled it."""
    ERROR = "error"
    """The engine failed, in general or at this request; the event says how."""


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One more token of an answer, or its end.

    `text` is what may be shown now: it lags behind the tokens while a character is unfinished or a
    stop string may have begun. The last event of a request, and only that, has a `finish_reason`.
    """

    request_id: int
    token_id: int | None
    text: str = ""
    finish_reason: FinishReason | None = None
    error: str = ""
    logprobs: Logprobs | None = None
    """Of the token, where the request asks for it."""
    prompt_logprobs: tuple[Logprobs, ...] = ()
    """With the first token, where asked for: of every token of the prompt but the first."""


Sink = Callable[[TokenEvent], None]
"""Takes the events of one request, in the thread that steps the engine; must not block."""
