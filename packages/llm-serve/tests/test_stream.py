"""Streams that always end, and work that stops when the client has left."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from llm_serve.errors import ApiError
from llm_serve.stream import ClientGoneError, EventStream, error_response, unless_gone

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


class Connection:
    """One client: what it was sent, and when it leaves."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


class Frames:
    """A source of events that notes whether it was closed."""

    def __init__(self, *items: object, pause: float = 0.0) -> None:
        self.items = items
        self.pause = pause
        self.closed = False

    async def run(self) -> AsyncGenerator[dict[str, Any], None]:
        try:
            for item in self.items:
                await asyncio.sleep(self.pause)
                if isinstance(item, Exception):
                    raise item
                yield {"item": item}
        finally:
            self.closed = True


async def play(frames: Frames, heartbeat: float = 5.0) -> Connection:
    connection = Connection()
    await EventStream(frames.run(), heartbeat)(SCOPE, connection.receive, connection.send)
    return connection


def test_events_then_done() -> None:
    frames = Frames("ä", 2)
    connection = asyncio.run(play(frames))
    assert connection.text == 'data: {"item":"ä"}\n\ndata: {"item":2}\n\ndata: [DONE]\n\n'
    head = dict(connection.sent[0]["headers"])
    assert connection.sent[0]["status"] == 200
    assert head[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in head
    assert connection.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert frames.closed


def test_an_error_before_the_first_event_is_an_ordinary_answer() -> None:
    connection = asyncio.run(play(Frames(ApiError(429, "full", retry_after=7))))
    assert connection.sent[0]["status"] == 429
    assert (b"retry-after", b"7") in connection.sent[0]["headers"]
    assert json.loads(connection.text)["error"]["message"] == "full"


def test_a_later_error_is_the_last_event_before_done() -> None:
    connection = asyncio.run(play(Frames(1, ApiError(500, "broken"))))
    events = connection.text.split("\n\n")
    assert json.loads(events[1].removeprefix("data: "))["error"]["message"] == "broken"
    assert events[2:] == ["data: [DONE]", ""]


def test_silence_is_filled_with_comments() -> None:
    connection = asyncio.run(play(Frames(1, 2, pause=0.1), heartbeat=0.03))
    before_first, between, _ = connection.text.split("data: ", 2)
    assert before_first.count(": heartbeat\n\n") >= 2
    assert between.count(": heartbeat\n\n") >= 2


def test_a_client_that_leaves_closes_the_source_at_once() -> None:
    async def scenario() -> None:
        frames, connection = Frames(1, 2, pause=30.0), Connection()
        stream = EventStream(frames.run(), 60.0)
        running = asyncio.ensure_future(stream(SCOPE, connection.receive, connection.send))
        await asyncio.sleep(0.01)
        connection.left.set()
        await asyncio.wait_for(running, 1.0)
        assert frames.closed
        assert connection.sent == []

    asyncio.run(scenario())


class Stuck(Connection):
    """A client that takes `taken` messages and reads no more."""

    taken = 2

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.sent) == self.taken:
            await asyncio.sleep(30)
        await super().send(message)


@pytest.mark.parametrize("taken", [0, 2, 3])
def test_a_client_that_does_not_read_is_given_up(taken: int) -> None:
    async def scenario() -> None:
        frames, connection = Frames(1, 2, 3), Stuck()
        connection.taken = taken
        stream = EventStream(frames.run(), 60.0, timeout=0.1)
        running = stream(SCOPE, connection.receive, connection.send)
        await asyncio.wait_for(running, 2.0)
        assert frames.closed
        assert len(connection.sent) == taken

    asyncio.run(scenario())


def test_a_client_that_leaves_without_having_read_closes_the_source() -> None:
    async def scenario() -> None:
        frames, connection = Frames(1, 2, 3), Stuck()
        stream = EventStream(frames.run(), 60.0)
        running = asyncio.ensure_future(stream(SCOPE, connection.receive, connection.send))
        await asyncio.sleep(0.01)
        connection.left.set()
        await asyncio.wait_for(running, 1.0)
        assert frames.closed

    asyncio.run(scenario())


def test_a_socket_that_nobody_reads_is_given_up(
    serve: Callable[[FastAPI], httpx.Client], eventually: Callable[[Callable[[], bool]], None]
) -> None:
    frames = Frames(*["x" * 2**20] * 200)
    app = FastAPI()

    @app.get("/")
    async def answer() -> EventStream:
        return EventStream(frames.run(), 60.0, timeout=0.3)

    client = serve(app)
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        eventually(lambda: frames.closed)


def test_errors_may_quote_what_is_no_utf_8() -> None:
    body = json.loads(error_response(ApiError(400, "no \ud800")).body)
    assert body["error"]["message"] == "no \ud800"
    connection = asyncio.run(play(Frames(1, ApiError(500, "\udfff"))))
    assert r"\udfff" in connection.text


def test_cancelling_the_stream_closes_the_source() -> None:
    async def scenario() -> None:
        frames, connection = Frames(1, pause=30.0), Connection()
        stream = EventStream(frames.run(), 60.0)
        running = asyncio.ensure_future(stream(SCOPE, connection.receive, connection.send))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert frames.closed

    asyncio.run(scenario())


def test_work_is_cancelled_when_the_client_leaves() -> None:
    async def scenario() -> None:
        connection = Connection()
        cleaned = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(30)
            finally:
                cleaned.set()

        request = Request(SCOPE, connection.receive)
        running = asyncio.ensure_future(unless_gone(request, work()))
        await asyncio.sleep(0.01)
        connection.left.set()
        with pytest.raises(ClientGoneError):
            await asyncio.wait_for(running, 1.0)
        assert cleaned.is_set()

    asyncio.run(scenario())


def test_work_that_ends_first_gives_its_result_or_its_error() -> None:
    async def scenario() -> None:
        request = Request(SCOPE, Connection().receive)

        async def fail() -> None:
            raise ApiError(400, "no")

        assert await unless_gone(request, asyncio.sleep(0, "done")) == "done"
        with pytest.raises(ApiError, match="no"):
            await unless_gone(request, fail())

    asyncio.run(scenario())
