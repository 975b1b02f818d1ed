"""A request inside the engine: from logits to the events that its reader gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.detokenizer import Decode
from llm_infer.engine.events import FinishReason, Sink, TokenEvent
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampling import Logprobs, RowState, token_logprobs
from llm_infer.engine.sequence import Sequence
from llm_infer.engine.speculation import Speculator
from llm_infer.engine.text import AnswerText

__all__ = ["FinishReason", "Request", "Sink", "TokenEvent", "Work"]


class Work(Protocol):
    """What the engine keeps of a request, whether it is sampled or searched with beams."""

    params: SamplingParams
    sink: Sink
    deadline: float | None
    request_id: int

    @property
    def sequences(self) -> list[Sequence]:
        """Its sequences, as the scheduler knows them."""
        ...

    def end(self, reason: FinishReason, error: str = "") -> TokenEvent:
        """The event that ends it without a token."""
        ...


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
        deadline: float | None = None,
        speculator: Speculator | None = None,
    ) -> None:
        self.sequence = sequence
        self.request_id = sequence.request_id
        self.params = params
        self.sink = sink
        self.deadline = deadline
        self._speculator = speculator
        self._ending = frozenset(ending_ids)
        self.row = RowState(params, sequence.token_ids, self._ending)
        self._max_new_tokens = max_new_tokens
        self._prompt = len(sequence.token_ids)
        self._text = AnswerText(decode, sequence.token_ids, params)
        self._prompt_logprobs: list[Logprobs] = []

    @property
    def sequences(self) -> list[Sequence]:
        """The one sequence."""
        return [self.sequence]

    def propose(self) -> None:
        """Draft tokens that may follow, for the next step to check."""
        if self._speculator is None or self.sequence.pending != 1:
            return
        room = self._max_new_tokens - self.row.generated - 1
        self.sequence.draft = self._speculator.propose(self.sequence.token_ids, room)

    def update_draft_length(self, drafted: int, accepted: int) -> None:
        """Record that the first `accepted` of `drafted` tokens were right; drop the draft."""
        self.sequence.draft = []
        if drafted and self._speculator is not None:
            self._speculator.update_draft_length(drafted, accepted)

    def note_prompt(self, start: int, logits: NDArray[np.float32]) -> None:
        """Keep the logprobs that `logits`, of the tokens from `start` on, give prompt tokens."""
        count = self.params.prompt_logprobs
        known = 1 + len(self._prompt_logprobs)
        end = min(start + len(logits), self._prompt - 1)
        # A sequence that was preempted reads its prompt again.
        begin = max(start, known - 1)
        if count is None or begin >= end:
            return
        following = self.sequence.token_ids[begin + 1 : end + 1]
        rows = logits[begin - start : end - start]
        self._prompt_logprobs += token_logprobs(rows, following, [count] * len(following))

    def accept(self, token_id: int, logprobs: Logprobs | None = None) -> TokenEvent:
        """Append a token that the sampler chose; the event says what to show and whether to end."""
        self.sequence.token_ids.append(token_id)
        made = self.row.generated
        text, reason = self._text.push(
            token_id, made, ending=token_id in self._ending, last=made >= self._max_new_tokens
        )
        prompt = tuple(self._prompt_logprobs) if made == 1 else ()
        return TokenEvent(
            self.request_id, token_id, text, reason, logprobs=logprobs, prompt_logprobs=prompt
        )

    def end(self, reason: FinishReason, error: str = "") -> TokenEvent:
        """The event that ends the request without a token."""
        text = self._text.rest() if reason is FinishReason.DEADLINE else ""
        return TokenEvent(self.request_id, None, text, reason, error)
