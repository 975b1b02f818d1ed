"""The engine: requests in, events out, one decoder step at a time.

request -> scheduler -> block manager -> batch -> decoder step -> sampler -> events. Knows token
ids; text only through the `decode` function it is given. Two ways to drive it: call `step()` in a
loop (one thread, exact order), or call `submit()`, which starts a background thread that steps
while there is work. `add_request`, `submit` and `abort` may be called from any thread at any time
and never wait for a step. An abort gives its blocks back before the next step.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import cast

from llm_infer.engine.acceptance import Acceptance, named
from llm_infer.engine.batch import StepRunner, build_batch
from llm_infer.engine.block_manager import BlockManager
from llm_infer.engine.detokenizer import Decode
from llm_infer.engine.events import FinishReason, Sink, TokenEvent
from llm_infer.engine.intake import Intake
from llm_infer.engine.limits import EngineLimits, EngineStats
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.positions import PrefixLayout
from llm_infer.engine.prefixes import CacheWriter, Prefixes, TunedPrefix
from llm_infer.engine.request import Request, Work
from llm_infer.engine.rope import RopeChoice
from llm_infer.engine.scheduler import Scheduler
from llm_infer.engine.sequence import Chunk
from llm_infer.engine.stream import Stream
from llm_infer.errors import EngineStoppedError, UnsupportedError

logger = logging.getLogger(__name__)


_running: weakref.WeakSet[Engine] = weakref.WeakSet()
"""Engines with a background thread, which must have ended before the interpreter does."""


@atexit.register
def _close_running() -> None:
    for engine in list(_running):
        engine.close()


def _ignore(event: TokenEvent) -> None:
    """The sink of a request whose events are read from `step()` only."""


class Engine:
    """Continuous batching over a `runner`; `eos_token_ids` end answers, `decode` makes text.

    `layout` is that of prompts with a prefix, None for causal models. `prefix_cache`: keep the
    blocks of what was read for prompts that begin the same; never for models whose prompt tokens
    see those behind them. `speculate_ngram`: draft what followed the same tokens before, looking
    for the last `speculate_ngram` ones; 0: not. `adapters`: names of those that the runner knows,
    in the order of their numbers. `rope`: how lengths choose rotary frequencies, where they do.
    """

    def __init__(
        self,
        runner: StepRunner,
        limits: EngineLimits,
        *,
        eos_token_ids: Iterable[int] = (),
        decode: Decode | None = None,
        layout: PrefixLayout | None = None,
        prefix_cache: bool = True,
        speculate_ngram: int = 0,
        adapters: Sequence[str] = (),
        rope: RopeChoice | None = None,
    ) -> None:
        self.limits = limits
        self.runner = runner
        self._blocks = BlockManager(limits.num_blocks + limits.reserved_blocks, limits.block_size)
        self._prefixes = Prefixes(self._blocks)
        self._intake = Intake(
            limits,
            self._prefixes,
            ending_ids=eos_token_ids,
            decode=decode,
            layout=layout,
            prefix_cache=prefix_cache,
            speculate_ngram=speculate_ngram,
            adapters=adapters,
            rope=rope,
        )
        self._scheduler = Scheduler(
            self._blocks,
            max_sequences=limits.max_sequences,
            max_batch_tokens=limits.max_batch_tokens,
        )
        self._acceptance = Acceptance(self._scheduler)
        self._requests: dict[int, Work] = {}
        self._inbox: list[Work] = []
        self._aborts: list[int] = []
        self._changed = threading.Condition()
        self._stepping = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = ""
        self._steps = self._prompt_tokens = self._generated_tokens = 0
        self._step_seconds = self._decoder_seconds = 0.0

    def add_request(
        self, prompt_ids: Sequence[int], params: SamplingParams, sink: Sink = _ignore
    ) -> int:
        """Queue a request and return its id; `step()` or the background thread does the work.

        Raises PromptTooLongError, SamplingError or InferError for what can never run, and
        EngineStoppedError once the engine is closed.
        """
        work = self._intake.work(prompt_ids, params, sink)
        with self._changed:
            if self._closed:
                raise EngineStoppedError(self._closed)
            self._inbox.append(work)
            self._prompt_tokens += len(prompt_ids)
            self._changed.notify()
        return work.request_id

    def add_prefix(self, name: str, prefix: TunedPrefix) -> None:
        """Keep a tuned prefix under a name that requests may use.

        Its blocks stay taken. Raises InferError where there are too few, and UnsupportedError where
        the model's prompts have a prefix of their own.
        """
        if self._intake.layout is not None:
            message = (
                "This model's prompt tokens see each other both ways; a tuned prefix cannot stand "
                "before them. Leave it out."
            )
            raise UnsupportedError(message)
        with self._stepping:
            self._prefixes.add(name, prefix, cast(CacheWriter, self.runner))

    @property
    def prefixes(self) -> list[str]:
        """Names of the tuned prefixes."""
        return self._prefixes.names

    @property
    def adapters(self) -> list[str]:
        """Names of the LoRA adapters that requests may use."""
        return self._intake.adapters

    def prefix_tokens(self, name: str | None) -> int:
        """Places that the tuned prefix `name` takes, 0 for None. Raises InferError if absent."""
        prefix_blocks = self._prefixes.find(name)
        return prefix_blocks.tokens if prefix_blocks else 0

    @property
    def speculate_ngram(self) -> int:
        """Tokens that a draft looks for; 0: none is made. May be set between requests."""
        return self._intake.speculate_ngram

    @speculate_ngram.setter
    def speculate_ngram(self, ngram: int) -> None:
        """Requests from now on look for `ngram` tokens."""
        self._intake.speculate_ngram = ngram

    @property
    def prefix_cache(self) -> bool:
        """Whether what was read is kept for prompts that begin the same."""
        return self._intake.prefix_cache

    def submit(self, prompt_ids: Sequence[int], params: SamplingParams) -> Stream:
        """Queue a request for the background thread and return its stream of events."""
        stream = Stream()
        stream.attach(self.add_request(prompt_ids, params, stream.put), self.abort)
        self.start()
        return stream

    def abort(self, request_id: int) -> None:
        """Cancel a request, running or queued; one that has ended already is left alone."""
        with self._changed:
            self._aborts.append(request_id)
            self._changed.notify()

    @property
    def has_work(self) -> bool:
        """Whether `step()` has anything to do."""
        with self._changed:
            return bool(self._inbox or self._aborts or self._requests)

    @property
    def stopped(self) -> str:
        """Why no request is taken any more: closed, or a step failed; empty while it runs."""
        return self._closed

    def step(self) -> list[TokenEvent]:
        """Run one decoder step and return its events, which sinks have seen already.

        What fails at one request (its sampling, its text) ends that one with an ERROR event.
        Raises EngineStoppedError when the step itself fails; every request in flight then ends
        with an ERROR event, and the engine takes no more.
        """
        with self._stepping:
            start = time.perf_counter()
            try:
                events = self._take_in() + self._expire()
                self._propose()
                if chunks := self._scheduler.schedule():
                    events += self._advance(chunks)
            except Exception as error:
                self._fail(error)
                raise EngineStoppedError(self._closed) from error
            self._step_seconds += time.perf_counter() - start
            return events

    def start(self) -> None:
        """Start the background thread, unless it runs."""
        with self._changed:
            if self._thread is None and not self._closed:
                _running.add(self)
                self._thread = threading.Thread(target=self._run, name="llm-engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the background thread and end every request with ABORT; may be called twice.

        Not from a sink: it waits for the step that calls the sinks.
        """
        with self._changed:
            self._closed = self._closed or "The engine is closed."
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._stepping:
            self._end_all(FinishReason.ABORT)
        _running.discard(self)

    def stats(self) -> EngineStats:
        """A snapshot of the counters."""
        with self._changed:
            waiting = len(self._inbox) + len(self._scheduler.waiting)
        return EngineStats(
            running=len(self._scheduler.running),
            waiting=waiting,
            free_blocks=self._blocks.free,
            num_blocks=self._blocks.num_blocks,
            preemptions=self._scheduler.preemptions,
            steps=self._steps,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._scheduler.cached_tokens,
            cached_blocks=self._blocks.cached,
            generated_tokens=self._generated_tokens,
            drafted_tokens=self._acceptance.drafted,
            accepted_tokens=self._acceptance.accepted,
            step_seconds=self._step_seconds,
            decoder_seconds=self._decoder_seconds,
        )

    def _run(self) -> None:
        """The background thread: step while there is work, sleep while there is none."""
        while True:
            with self._changed:
                while not (self._inbox or self._aborts or self._requests or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
            try:
                self.step()
            except EngineStoppedError:
                return
            except BaseException as error:
                # Streams must not wait for a thread that is gone.
                self._fail(error)
                return

    def _take_in(self) -> list[TokenEvent]:
        """Move new requests to the scheduler and drop the aborted ones; their last events."""
        with self._changed:
            new, self._inbox = self._inbox, []
            aborts, self._aborts = self._aborts, []
            for request in new:
                self._requests[request.request_id] = request
        for request in new:
            for sequence in request.sequences:
                self._scheduler.add(sequence)
        return [
            self._deliver(aborted, aborted.end(FinishReason.ABORT))
            for request_id in aborts
            if (aborted := self._requests.get(request_id))
        ]

    def _expire(self) -> list[TokenEvent]:
        """End the requests whose deadline has passed; their last events."""
        now = time.monotonic()
        late = [r for r in self._requests.values() if r.deadline is not None and r.deadline <= now]
        return [self._deliver(request, request.end(FinishReason.DEADLINE)) for request in late]

    def _propose(self) -> None:
        if self.speculate_ngram:
            for sequence in self._scheduler.running:
                request = self._requests[sequence.request_id]
                if isinstance(request, Request):
                    request.propose()

    def _advance(self, chunks: list[Chunk]) -> list[TokenEvent]:
        batch = build_batch(chunks)
        copies = self._scheduler.take_copies()
        start = time.perf_counter()
        if copies:
            self.runner.copy_blocks(copies)
        logits = self.runner.step(batch)
        self._decoder_seconds += time.perf_counter() - start
        self._scheduler.advance(chunks)
        self._steps += 1
        events = []
        for request, event in self._acceptance.take(chunks, logits, self._requests):
            self._generated_tokens += event.token_id is not None
            events.append(self._deliver(request, event))
        return events

    def _deliver(self, request: Work, event: TokenEvent) -> TokenEvent:
        if event.finish_reason is not None:
            with self._changed:
                del self._requests[event.request_id]
            for sequence in request.sequences:
                self._scheduler.remove(sequence)
        self._emit(request, event)
        return event

    def _emit(self, request: Work, event: TokenEvent) -> None:
        try:
            request.sink(event)
        except Exception:
            # One reader's mistake must not end the others' streams.
            logger.exception("The reader of request %d failed; it is cancelled", event.request_id)
            if event.finish_reason is None:
                self.abort(event.request_id)

    def _fail(self, error: BaseException) -> None:
        logger.error("A decoder step failed", exc_info=error)
        with self._changed:
            self._closed = f"The engine stopped: {named(error)}"
        self._end_all(FinishReason.ERROR)

    def _end_all(self, reason: FinishReason) -> None:
        """End every request, queued or running; nothing is taken in any more."""
        with self._changed:
            ended = [*self._requests.values(), *self._inbox]
            self._requests.clear()
            self._inbox, self._aborts = [], []
        # All are told before blocks move: where the scheduler is what failed, that may fail again.
        for request in ended:
            self._emit(request, request.end(reason, self._closed))
        for request in ended:
            for sequence in request.sequences:
                self._scheduler.remove(sequence)
