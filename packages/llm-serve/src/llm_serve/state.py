"""What the server is doing and how much it has taken on.

The phases: "starting", "loading" (requests get 503 with a time to come back), "ready", "failed",
"stopping". Admission counts sequences (each answer to each prompt is one), so that a full server
says 429 at once instead of letting clients wait without end.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llm_serve.errors import ApiError
from llm_serve.generation import ENGINE_STOPPED, Generation
from llm_serve.metrics import Metrics
from llm_serve.model import ServedModel
from llm_serve.names import Variant

if TYPE_CHECKING:
    from llm_infer.engine.params import SamplingParams

Phase = Literal["starting", "loading", "ready", "failed", "stopping"]
RETRY_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds a server keeps.

    max_sequences: running and waiting together. request_timeout, body_timeout (until the JSON of a
    request is there) and heartbeat in seconds; max_body_bytes bounds the JSON of one request.
    """

    max_sequences: int
    request_timeout: float | None = None
    heartbeat: float = 15.0
    body_timeout: float = 60.0
    max_body_bytes: int = 16 * 2**20


class ServerState:
    """The one mutable thing of the server; used from the event loop's thread.

    `variants`: what each name of a request's `model` stands for; by default `name` alone is known.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        *,
        variants: Mapping[str, Variant] | None = None,
        api_key: str | None = None,
    ) -> None:
        self.name = name
        self.variants = variants or {name: Variant()}
        self.limits = limits
        self.api_key = api_key
        self.metrics = Metrics(self)
        self.in_flight = 0
        self.failure: str | None = None
        self._model: ServedModel | None = None
        self._generations: set[Generation] = set()
        self.started = time.time()
        self._enter("starting")

    @property
    def phase(self) -> Phase:
        """What the server is doing; "failed" as soon as its engine has stopped by itself."""
        if self._phase == "ready" and self._model is not None and self._model.engine.stopped:
            self.failed(self._model.engine.stopped)
        return self._phase

    def seconds_in_phase(self) -> float:
        """Return how long the phase has lasted."""
        return time.monotonic() - self._since

    def loading(self) -> None:
        """Note that the weights are being read."""
        self._enter("loading")

    def ready(self, model: ServedModel) -> None:
        """Begin to answer."""
        self._model = model
        self._enter("ready")

    def failed(self, message: str) -> None:
        """Note that the model cannot be used; `message` goes to whoever asks."""
        self.failure = message
        self._enter("failed")

    def stopping(self) -> None:
        """Note that no new work is taken."""
        self._enter("stopping")

    @property
    def loaded(self) -> ServedModel | None:
        """The model once it is loaded, whatever the phase."""
        return self._model

    def model(self) -> ServedModel:
        """Return the model; ApiError 503 unless the server is ready."""
        if self.phase == "ready" and self._model is not None:
            return self._model
        seconds = self.seconds_in_phase()
        message = f"The server is {self._phase} since {seconds:.1f} seconds; try again soon."
        if self._phase == "failed":
            message = f"The model cannot answer: {self.failure}"
        raise ApiError(
            503, message, kind="server_error", code=self._phase, retry_after=RETRY_SECONDS
        )

    def variant(self, name: str) -> Variant:
        """Return what a name stands for; ApiError 404 for one that is not served."""
        if name not in self.variants:
            known = ", ".join(f"'{one}'" for one in self.variants)
            message = f"The model '{name}' does not exist; this server has {known}."
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.variants[name]

    @asynccontextmanager
    async def generation(
        self,
        model: ServedModel,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingParams,
        choices: int,
    ) -> AsyncIterator[Generation]:
        """Run a generation within the time limit; its sequences have been `admitted`."""
        generation = Generation(
            model.engine,
            prompts,
            sampling,
            choices=choices,
            deadline=self.limits.request_timeout,
        )
        self._generations.add(generation)
        try:
            async with generation:
                yield generation
        except ApiError as error:
            if error.code == ENGINE_STOPPED and self._phase == "ready":
                self.failed(error.message)
            raise
        finally:
            self._generations.discard(generation)
            self.metrics.finished(generation)

    def interrupt(self, error: ApiError) -> None:
        """End every running generation with `error`."""
        for generation in self._generations:
            generation.fail(error)

    def check_count(self, count: int) -> None:
        """Raise ApiError 400 for more sequences than there is ever room for."""
        limit = self.limits.max_sequences
        if count > limit:
            message = (
                f"This request asks for {count} sequences (prompts times n); this server takes "
                f"{limit} at a time. Send fewer prompts or a smaller n."
            )
            raise ApiError(400, message, param="n", code="too_many_sequences")

    @contextmanager
    def admitted(self, count: int) -> Iterator[None]:
        """Hold room for `count` sequences; ApiError 429 when the server is full."""
        self.check_count(count)
        limit = self.limits.max_sequences
        if self.in_flight + count > limit:
            message = (
                f"The server is full: {self.in_flight} of {limit} sequences are running or "
                f"waiting and this request needs {count}. Try again in a moment."
            )
            raise ApiError(
                429,
                message,
                kind="rate_limit_error",
                code="server_full",
                retry_after=RETRY_SECONDS,
            )
        self.in_flight += count
        try:
            yield
        finally:
            self.in_flight -= count

    def _enter(self, phase: Phase) -> None:
        self._phase: Phase = phase
        self._since = time.monotonic()
