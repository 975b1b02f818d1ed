"""Server-sent events that cannot hang silently, and answers that stop when nobody waits for them.

Every stream that has begun ends with `data: [DONE]`; a comment line goes out whenever nothing else
did for a while; a client that went away is noticed at once, also while nothing is being sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from llm_serve.errors import ApiError

logger = logging.getLogger(__name__)

HEARTBEAT = b": heartbeat\n\n"
DONE = b"data: [DONE]\n\n"

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection; there is nobody to answer."""


class EventStream(Response):
    """Send the objects of an async generator as server-sent events.

    frames: JSON objects, one an event; an ApiError raised before the first one becomes an ordinary
    error answer with its status, a later one the last event of the stream.
    heartbeat: seconds of silence after which a comment is sent.
    timeout: seconds after which a client that does not read is given up, None for never.
    """

    def __init__(
        self,
        frames: AsyncGenerator[Mapping[str, Any]],
        heartbeat: float,
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies that gather small pieces would turn a stream back into one answer.
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._frames = frames
        self._heartbeat = heartbeat
        self._timeout = timeout
        self._started = time.monotonic()
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream until its end, or until the client is gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await self._write(scope, receive, send, gone)
        except ClientGoneError:
            logger.debug("a client left, or did not read, before its stream ended")
        finally:
            gone.cancel()
            await self._frames.aclose()

    async def _write(
        self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Future[None]
    ) -> None:
        try:
            while (frame := await self._next(send, gone)) is not None:
                await self._send(send, gone, b"data: " + _encode(frame) + b"\n\n")
        except ApiError as error:
            if not self._begun:
                await error_response(error)(scope, receive, send)
                return
            await self._send(send, gone, b"data: " + _encode(error.body()) + b"\n\n")
        await self._send(send, gone, DONE)
        await self._put(send, gone, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, send: Send, gone: asyncio.Future[None]) -> Mapping[str, Any] | None:
        upcoming = asyncio.ensure_future(anext(self._frames, None))
        try:
            while not upcoming.done():
                await _first_of(upcoming, gone, timeout=self._heartbeat)
                if gone.done():
                    raise ClientGoneError
                if not upcoming.done():
                    await self._send(send, gone, HEARTBEAT)
            return upcoming.result()
        finally:
            await _settle(upcoming)

    async def _send(self, send: Send, gone: asyncio.Future[None], body: bytes) -> None:
        if not self._begun:
            self._begun = True
            start = {"status": self.status_code, "headers": self.raw_headers}
            await self._put(send, gone, {"type": "http.response.start", **start})
        message = {"type": "http.response.body", "body": body, "more_body": True}
        await self._put(send, gone, message)

    async def _put(self, send: Send, gone: asyncio.Future[None], message: Message) -> None:
        """Send a message; a client that does not take it in time counts as gone."""
        sending = asyncio.ensure_future(send(message))
        left = None
        if self._timeout is not None:
            left = max(self._started + self._timeout - time.monotonic(), 0.0)
        try:
            await _first_of(sending, gone, timeout=left)
            if not sending.done():
                raise ClientGoneError
            sending.result()
        finally:
            await _settle(sending)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Await `work`, but cancel it and raise ClientGoneError when the client leaves first.

    The body of the request must have been read.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await _first_of(task, gone)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        gone.cancel()
        await _settle(task)


def error_response(error: ApiError) -> JSONResponse:
    """Turn an error into an HTTP answer."""
    return _AsciiResponse(error.body(), status_code=error.status, headers=error.headers())


class _AsciiResponse(JSONResponse):
    """JSON that any text can be written in: what was wrong may be quoted in it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*tasks: asyncio.Future[Any], timeout: float | None = None) -> None:
    await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


async def _settle(task: asyncio.Future[Any]) -> None:
    """Cancel a task that still runs and wait until it has cleaned up."""
    if task.done():
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _encode(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate is no UTF-8, but backslash-escaped it is JSON.
    return text.encode("utf-8", "backslashreplace")
