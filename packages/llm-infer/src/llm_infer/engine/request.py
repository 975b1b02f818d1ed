"""A request inside the engine, and the events its reader gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from llm_infer.engine.detokenizer import Decode, Detokenizer
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampler import RowState
from llm_infer.engine.sequence import Sequence
from llm_infer.engine.stop import StopMatcher


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """A stop string, a stop id or the model's end-of-sequence token."""
    LENGTH = "length"
    """max_new_tokens were generated."""
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


Sink = Callable[[TokenEvent], None]
"""Takes the events of one request, in the thread that steps the engine; must not block."""


class Request:
    """A sequence with its parameters, its random stream and its text so far."""

    def __init__(
        self,
        sequence: Sequence,
        params: SamplingParams,
        *,
        max_new_tokens: int,
        ending_ids: Iterable[int],
        decode: Decode | None,
        sink: Sink,
    ) -> None:
        self.sequence = sequence
        self.params = params
        self.sink = sink
        self._ending = frozenset(ending_ids)
        self.row = RowState(params, sequence.token_ids, self._ending)
        self._max_new_tokens = max_new_tokens
        self._detokenizer = Detokenizer(decode, sequence.token_ids) if decode else None
        self._stop = StopMatcher(params.stop) if params.stop else None

    def accept(self, token_id: int) -> TokenEvent:
        """Append a token that the sampler chose; the event says what to show and whether to end."""
        self.sequence.token_ids.append(token_id)
        text, reason = "", None
        if token_id in self._ending:
            reason = FinishReason.STOP
        else:
            text, stopped = self._show(
                self._detokenizer.push(token_id) if self._detokenizer else ""
            )
            if stopped:
                return self._event(token_id, text, FinishReason.STOP)
            if self.row.generated >= self._max_new_tokens:
                reason = FinishReason.LENGTH
        if reason:
            rest, stopped = self._rest()
            text += rest
            reason = FinishReason.STOP if stopped else reason
        return self._event(token_id, text, reason)

    def end(self, reason: FinishReason, error: str = "") -> TokenEvent:
        """The event that ends the request without a token."""
        return TokenEvent(self.sequence.request_id, None, "", reason, error)

    def _show(self, text: str) -> tuple[str, bool]:
        if self._stop is None or self.row.generated < self.params.min_new_tokens:
            return text, False
        shown, stop = self._stop.push(text)
        return shown, stop is not None

    def _rest(self) -> tuple[str, bool]:
        """Text held back, at the end of the answer; it may still complete a stop string."""
        text, stopped = self._show(self._detokenizer.finish() if self._detokenizer else "")
        if stopped or self._stop is None:
            return text, stopped
        return text + self._stop.finish(), False

    def _event(self, token_id: int, text: str, reason: FinishReason | None) -> TokenEvent:
        return TokenEvent(self.sequence.request_id, token_id, text, reason)
