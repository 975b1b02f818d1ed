"""Taking the port, answering while loading, and stopping without cutting anyone off."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from llm_serve.errors import ServeError
from llm_serve.model import ServedModel
from llm_serve.options import ServeOptions
from llm_serve.run import Server, limits_of, listen
from llm_serve.state import ServerState

ASK = {"prompt": "!", "max_tokens": 20, "temperature": 0}
Eventually = Callable[[Callable[[], bool]], None]


class Running:
    """A `Server` in a thread, and what became of it."""

    def __init__(self, load: Callable[[], ServedModel], **options: Any) -> None:
        chosen = ServeOptions(model_name_or_path="m", served_model_name="tiny", **options)
        self.listener = listen("127.0.0.1", 0)
        self.state = ServerState("tiny", limits_of(chosen))
        self.server = Server(self.state, self.listener, chosen)
        self.client = httpx.Client(base_url=self.server.address, timeout=10)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(load,))
        self.thread.start()

    def _run(self, load: Callable[[], ServedModel]) -> None:
        try:
            self.server.run_until_stopped(load)
        except BaseException as error:
            self.error = error

    def terminate(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    def join(self) -> None:
        self.client.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start servers that are stopped at the end of the test."""
    started: list[Running] = []

    def make(load: Callable[[], ServedModel], **options: Any) -> Running:
        started.append(Running(load, **options))
        return started[-1]

    yield make
    for running in started:
        running.terminate()
        running.join()


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"Port {port} on 127\.0\.0\.1 is in use.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid", "a" * 70 + ".de"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ServeError, match=f"Cannot listen on --host {host}"):
        listen(host, 0)


def test_ipv6_addresses_are_written_with_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0)
    except ServeError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        options = ServeOptions(model_name_or_path="m")
        server = Server(ServerState("m", limits_of(options)), listener, options)
        assert server.address.startswith("http://[::1]:")


def test_connections_are_bounded_well_above_the_sequences() -> None:
    options = ServeOptions(model_name_or_path="m", max_concurrency=2, max_queue=3)
    with listen("127.0.0.1", 0) as listener:
        server = Server(ServerState("m", limits_of(options)), listener, options)
    assert server.config.limit_concurrency == 1005


def test_the_server_answers_while_the_model_loads(
    start: Callable[..., Running], model: ServedModel, eventually: Eventually
) -> None:
    loaded = threading.Event()

    def load() -> ServedModel:
        loaded.wait(5)
        return model

    running = start(load)
    assert running.client.get("/ready").json()["phase"] == "loading"
    assert running.client.post("/v1/completions", json=ASK).status_code == 503
    loaded.set()
    eventually(lambda: running.client.get("/ready").status_code == 200)
    assert running.client.post("/v1/completions", json=ASK).status_code == 200


def test_a_model_that_cannot_be_loaded_stops_the_server(start: Callable[..., Running]) -> None:
    def load() -> ServedModel:
        message = "no config.json here"
        raise ServeError(message)

    running = start(load)
    running.join()
    assert isinstance(running.error, ServeError)
    assert running.state.phase == "failed"


def test_a_stop_lets_running_streams_end_and_refuses_new_ones(
    start: Callable[..., Running], model: ServedModel, decoder: Any, eventually: Eventually
) -> None:
    running = start(lambda: model)
    eventually(lambda: running.state.phase == "ready")
    decoder.seconds = 0.02
    with running.client.stream("POST", "/v1/completions", json={**ASK, "stream": True}) as answer:
        lines = answer.iter_lines()
        first = next(lines)
        running.terminate()
        eventually(lambda: running.state.phase == "stopping")
        *rest, done = [line for line in [first, *lines] if line]
    assert done == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in rest]
    assert "".join(chunk["text"] for chunk in chunks) == "\"#$%&'()*+,-./012345"
    assert chunks[-1]["finish_reason"] == "length"
    running.join()
    assert running.error is None
    assert decoder.open.is_set()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.server.address}/health")


def test_a_stream_that_outlives_the_stop_ends_with_an_error_and_done(
    start: Callable[..., Running], model: ServedModel, decoder: Any, eventually: Eventually
) -> None:
    running = start(lambda: model, shutdown_timeout=0.1)
    eventually(lambda: running.state.phase == "ready")
    decoder.seconds = 0.1
    ask = {**ASK, "stream": True, "max_tokens": 80}
    with running.client.stream("POST", "/v1/completions", json=ask) as answer:
        lines = answer.iter_lines()
        next(lines)
        running.terminate()
        *_, error, done = [line for line in lines if line]
    assert done == "data: [DONE]"
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "stopping"
    running.join()
    assert running.error is None


def test_stopping_twice_is_stopping_once(
    start: Callable[..., Running],
    model: ServedModel,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "llm_serve")
    running = start(lambda: model)
    eventually(lambda: running.state.phase == "ready")
    running.terminate()
    running.terminate()
    running.join()
    assert caplog.text.count("answers may finish") == 1
