"""From the logits of a step to what every request makes of them: tokens, drafts, beams, logprobs.

A draft of k tokens has k + 1 rows of logits. They are gone through one after the other, all
requests together, as long as the token that is chosen is the one that was drafted: every token is
chosen from the logits that it would have had without the draft.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.beam import BeamRequest
from llm_infer.engine.events import FinishReason, TokenEvent
from llm_infer.engine.request import Request, Work
from llm_infer.engine.sampling import Logprobs, sample, token_logprobs
from llm_infer.engine.scheduler import Scheduler
from llm_infer.engine.sequence import Chunk
from llm_infer.errors import InferError

logger = logging.getLogger(__name__)

Logits = NDArray[np.float32]
Outcome = tuple[Work, TokenEvent]


@dataclass(slots=True)
class _Draw:
    """A request that takes tokens from consecutive rows of the logits."""

    request: Request
    draft: list[int]
    row: int
    taken: int = 0


class Acceptance:
    """Gives the events of a step; counts drafted tokens and those that were right."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.drafted = 0
        self.accepted = 0

    def take(
        self, chunks: list[Chunk], logits: Logits, requests: Mapping[int, Work]
    ) -> Iterator[Outcome]:
        """The events that `logits`, float32 [R, V], of `chunks` give, each with its request.

        What fails at one request ends that one with an ERROR event.
        """
        draws: list[_Draw] = []
        beams: dict[int, BeamRequest] = {}
        failed: dict[int, TokenEvent] = {}
        row = 0
        for chunk in chunks:
            request, start = requests[chunk.sequence.request_id], row
            row += chunk.logits
            try:
                if isinstance(request, BeamRequest):
                    if chunk.samples:
                        request.take(chunk.sequence, logits[start])
                        beams[request.request_id] = request
                    continue
                assert isinstance(request, Request)
                if chunk.sequence.reads_all:
                    request.note_prompt(chunk.start, logits[start:row])
            except Exception as error:
                failed.setdefault(request.request_id, _failure(request, error))
                continue
            if chunk.samples:
                draft = chunk.sequence.draft[: chunk.drafted]
                draws.append(_Draw(request, draft, row - 1 - chunk.drafted))
        yield from ((requests[number], event) for number, event in failed.items())
        for number, searched in beams.items():
            if number not in failed:
                yield from self._search(searched)
        yield from self._sample(draws, logits)

    def _sample(self, draws: list[_Draw], logits: Logits) -> Iterator[Outcome]:
        while draws:
            rows = logits if len(draws) == len(logits) else logits[[draw.row for draw in draws]]
            tokens = sample(rows, [draw.request.row for draw in draws])
            logprobs = _logprobs(rows, tokens, draws)
            going_on = []
            for draw, token, logprob in zip(draws, tokens, logprobs, strict=True):
                event = _accepted(draw.request, token, logprob)
                right = draw.taken < len(draw.draft) and token == draw.draft[draw.taken]
                if right:
                    # The step has read it already.
                    draw.request.sequence.computed += 1
                    draw.taken += 1
                    draw.row += 1
                if right and event.finish_reason is None:
                    going_on.append(draw)
                else:
                    self._settle(draw)
                yield draw.request, event
            draws = going_on

    def _settle(self, draw: _Draw) -> None:
        draw.request.update_draft_length(len(draw.draft), draw.taken)
        self.drafted += len(draw.draft)
        self.accepted += draw.taken

    def _search(self, request: BeamRequest) -> Iterator[Outcome]:
        try:
            left_over = request.advance(self._scheduler.fork)
            events = request.answer() if left_over is None else []
        except Exception as error:
            yield request, _failure(request, error)
            return
        for sequence in left_over or []:
            self._scheduler.remove(sequence)
        for event in events:
            yield request, event


def _logprobs(
    logits: Logits, tokens: list[int | Exception], draws: list[_Draw]
) -> list[Logprobs | None]:
    """Of each row's token, where its request asks for it."""
    wanted = [
        (index, token, draws[index].request.params.logprobs or 0)
        for index, token in enumerate(tokens)
        if isinstance(token, int) and draws[index].request.params.logprobs is not None
    ]
    found: list[Logprobs | None] = [None] * len(draws)
    if wanted:
        indices, ids, counts = zip(*wanted, strict=True)
        told = token_logprobs(logits[list(indices)], ids, counts)
        for index, logprobs in zip(indices, told, strict=True):
            found[index] = logprobs
    return found


def _accepted(request: Request, token: int | Exception, logprobs: Logprobs | None) -> TokenEvent:
    """The event of a sampled token; an error, of sampling or text, ends this request only."""
    try:
        if isinstance(token, Exception):
            raise token
        return request.accept(token, logprobs)
    except Exception as error:
        return _failure(request, error)


def _failure(request: Work, error: Exception) -> TokenEvent:
    logger.error("Request %d failed", request.request_id, exc_info=error)
    message = str(error) if isinstance(error, InferError) else named(error)
    return request.end(FinishReason.ERROR, message)


def named(error: BaseException) -> str:
    """An error with its type, for a sentence."""
    return f"{type(error).__name__}: {error}"
