"""Server-sent events that cannot hang silently, and answers that stop when nobody waits for them.

Every stream that has begun ends with `data: [DONE]`; a comment line goes out whenever nothing else
did for a while; a client that went away is noticed at once, also while nothing is being sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

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
    """

    def __init__(self, frames: AsyncGenerator[Mapping[str, Any]], heartbeat: float) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies that gather small pieces would turn a stream back into one answer.
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._frames = frames
        self._heartbeat = heartbeat
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream until its end, or until the client is gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await self._write(scope, receive, send, gone)
        except ClientGoneError:
            logger.debug("a client left before its stream ended")
        finally:
            gone.cancel()
            await self._frames.aclose()

    async def _write(
        self, scope: Scope, receive: Receive, send: Send, gone: asyncio.Future[None]
    ) -> None:
        try:
            while (frame := await self._next(send, gone)) is not None:
                await self._send(send, b"data: " + _encode(frame) + b"\n\n")
        except ApiError as error:
            if not self._begun:
                await error_response(error)(scope, receive, send)
                return
            await self._send(send, b"data: " + _encode(error.body()) + b"\n\n")
        await self._send(send, DONE)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, send: Send, gone: asyncio.Future[None]) -> Mapping[str, Any] | None:
        upcoming = asyncio.ensure_future(anext(self._frames, None))
        try:
            while not upcoming.done():
                await _first_of(upcoming, gone, timeout=self._heartbeat)
                if gone.done():
                    raise ClientGoneError
                if not upcoming.done():
                    await self._send(send, HEARTBEAT)
            return upcoming.result()
        finally:
            await _settle(upcoming)

    async def _send(self, send: Send, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
        await send({"type": "http.response.body", "body": body, "more_body": True})


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
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


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
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
