"""The reader's side of a request: an iterator of events that ends, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

from llm_infer.engine.events import FinishReason, TokenEvent
from llm_infer.errors import EngineStoppedError


class Stream:
    """Events of one request in order; iterate it once, from any one thread.

    Raises EngineStoppedError out of the iteration when the engine failed, in general or at this
    request.
    """

    def __init__(self) -> None:
        self.request_id = -1
        self._events: SimpleQueue[TokenEvent] = SimpleQueue()
        self._abort: Callable[[int], None] | None = None

    def put(self, event: TokenEvent) -> None:
        """Add an event; the engine calls this."""
        self._events.put(event)

    def attach(self, request_id: int, abort: Callable[[int], None]) -> None:
        """Say which request this reads and how to cancel it; the engine calls this."""
        self.request_id = request_id
        self._abort = abort

    def cancel(self) -> None:
        """Stop generating; the stream ends with an event whose reason is ABORT."""
        if self._abort is not None:
            self._abort(self.request_id)

    def text(self) -> str:
        """The whole answer, once it has ended."""
        return "".join(event.text for event in self)

    def __iter__(self) -> Iterator[TokenEvent]:
        while True:
            event = self._events.get()
            if event.finish_reason is FinishReason.ERROR:
                raise EngineStoppedError(event.error)
            yield event
            if event.finish_reason is not None:
                return
