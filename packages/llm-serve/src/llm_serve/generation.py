"""The choices of one request: from prompts in token ids to pieces of text, in one event loop.

A `Generation` starts all its sequences, merges their steps in the order in which they come, and
gives every sequence back to the engine when it is closed, whatever the reason::

    async with Generation(engine, prompts, sampling, choices=1) as generation:
        async for piece in generation:
            ...

Knows nothing of HTTP or of the JSON of the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from llm_infer.engine import Logprobs
from llm_infer.engine.engine import Engine
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.request import FinishReason, TokenEvent
from llm_infer.errors import EngineStoppedError, InferError, PromptTooLongError
from llm_serve.errors import ApiError

#: Code of the error after which no request can be answered any more.
ENGINE_STOPPED = "engine_stopped"


@dataclass(frozen=True)
class Piece:
    """Text that may be sent for choice `index`; `finish` says why it ended, None while it runs.

    `logprobs` are of one token, where they were asked for; its text may come with a later piece.
    Those of the prompt's tokens come before those of the first one.
    """

    index: int
    text: str
    finish: str | None
    logprobs: tuple[Logprobs, ...] = ()


@dataclass
class Gathered:
    """The pieces of one choice put together."""

    text: str = ""
    finish: str | None = None
    logprobs: list[Logprobs] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Append the next piece."""
        self.text += piece.text
        self.finish = piece.finish
        self.logprobs += piece.logprobs


@dataclass
class Usage:
    """Tokens of the prompts (each counted once) and of all answers."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class _Choice:
    prompt: Sequence[int]
    request_id: int | None = None
    done: bool = False


class Generation:
    """B = prompts x choices sequences that run at the same time.

    prompts: P lists of T token ids; choice `p * choices + c` is the c-th answer to prompt p.
    deadline: seconds until the whole request is given up, None for no limit.
    Iterating raises ApiError when the deadline passes, the engine fails or `fail` was called.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingParams,
        *,
        choices: int,
        deadline: float | None = None,
    ) -> None:
        self._engine = engine
        self._sampling = sampling
        self._per_prompt = choices
        self._seconds = deadline
        self._queue: asyncio.Queue[tuple[int, TokenEvent] | ApiError] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._choices = [_Choice(prompt) for prompt in prompts for _ in range(choices)]
        self.usage = Usage(prompt_tokens=sum(map(len, prompts)))
        self._started = time.perf_counter()
        self.first_token_seconds: float | None = None

    async def __aenter__(self) -> Generation:
        try:
            for index, choice in enumerate(self._choices):
                choice.request_id = self._engine.add_request(
                    choice.prompt, self._sampling_of(index), self._sink(index)
                )
            self._engine.start()
        except InferError as error:
            self._abort()
            raise refusal(error) from error
        except BaseException:
            self._abort()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abort()

    def seconds(self) -> float:
        """Return the seconds since the request began."""
        return time.perf_counter() - self._started

    def fail(self, error: ApiError) -> None:
        """Make the iteration raise `error`; call it from the event loop's thread."""
        self._queue.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        running = len(self._choices)
        while running:
            item = await self._next()
            if isinstance(item, ApiError):
                raise item
            piece = self._take(*item)
            if piece is not None:
                running -= piece.finish is not None
                yield piece

    async def _next(self) -> tuple[int, TokenEvent] | ApiError:
        if self._seconds is None:
            return await self._queue.get()
        left = self._seconds - self.seconds()
        try:
            return await asyncio.wait_for(self._queue.get(), max(left, 0.0))
        except TimeoutError:
            message = (
                f"The answer was not complete after {self._seconds:g} seconds, the limit of this "
                "server (--request_timeout); ask for fewer tokens."
            )
            return ApiError(504, message, kind="timeout_error", code="timeout")

    def _take(self, index: int, event: TokenEvent) -> Piece | None:
        choice = self._choices[index]
        if choice.done:
            return None
        if event.finish_reason is FinishReason.ERROR and not self._engine.stopped:
            raise ApiError(500, event.error, kind="server_error", code="generation_failed")
        if event.finish_reason in (FinishReason.ERROR, FinishReason.ABORT):
            raise refusal(EngineStoppedError(event.error or "The engine was closed."))
        if event.token_id is not None:
            self.usage.completion_tokens += 1
            if self.first_token_seconds is None:
                self.first_token_seconds = self.seconds()
        choice.done = event.finish_reason is not None
        finish = str(event.finish_reason) if event.finish_reason else None
        own = () if event.logprobs is None else (event.logprobs,)
        logprobs = (*event.prompt_logprobs, *own)
        if not (event.text or finish or logprobs):
            return None
        return Piece(index, event.text, finish, logprobs)

    def _sampling_of(self, index: int) -> SamplingParams:
        seed = self._sampling.seed
        if seed is None:
            return self._sampling
        # Choices of one prompt must differ; the same prompt alone must repeat choice 0.
        return replace(self._sampling, seed=(seed + index % self._per_prompt) % 2**64)

    def _sink(self, index: int) -> Callable[[TokenEvent], None]:
        def sink(event: TokenEvent) -> None:
            # The loop may close while the engine's thread is between two tokens.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, event))

        return sink

    def _abort(self) -> None:
        for choice in self._choices:
            if choice.request_id is not None and not choice.done:
                self._engine.abort(choice.request_id)
                choice.done = True


def refusal(error: InferError) -> ApiError:
    """Return the answer for what the engine refuses."""
    if isinstance(error, EngineStoppedError):
        return ApiError(500, str(error), kind="server_error", code=ENGINE_STOPPED)
    if isinstance(error, PromptTooLongError):
        return ApiError(400, str(error), param="max_tokens", code="context_length_exceeded")
    return ApiError(400, str(error), code="invalid_value")
