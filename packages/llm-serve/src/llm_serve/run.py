"""The command: take the port, answer while the model loads, stop without cutting anyone off."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from llm_cli.console import console
from llm_serve.app import create_app
from llm_serve.errors import ApiError, ServeError
from llm_serve.model import ServedModel, load_model
from llm_serve.names import variants
from llm_serve.options import ServeOptions
from llm_serve.state import Limits, ServerState

logger = logging.getLogger(__name__)

#: What uvicorn waits beyond our own limit, so that cut answers still get their last event.
GRACE_SECONDS = 2.0

#: Connections beyond one a sequence: idle ones, those being refused, and the machines around.
SPARE_CONNECTIONS = 1000


def serve(options: ServeOptions) -> None:
    """Run `llm serve` until SIGINT or SIGTERM.

    Raises ServeError when the port cannot be taken or a name stands for two things, and what the
    loaders raise for a bad model.
    """
    known = variants(options)
    listener = listen(options.host, options.port)
    name = options.served_model_name
    assert name is not None
    state = ServerState(name, limits_of(options), variants=known, api_key=options.api_key)
    server = Server(state, listener, options)
    # uvicorn raises the signal again once it has stopped; a clean stop is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    server.run_until_stopped(_loader(options))


def _loader(options: ServeOptions) -> Callable[[], ServedModel]:
    """Return what the server calls from a thread of its own to have its model."""
    if options.inference_model:
        return lambda: load_model(options)
    # Paddle computes nothing where its first import was not the main thread's, and takes over the
    # signals, which the server takes back when it starts: it must be there before.
    model = load_model(options)
    return lambda: model


def limits_of(options: ServeOptions) -> Limits:
    """Return the limits that the options ask for."""
    return Limits(
        max_sequences=options.max_concurrency + options.max_queue,
        request_timeout=options.request_timeout or None,
        heartbeat=options.heartbeat,
    )


def listen(host: str, port: int) -> socket.socket:
    """Take an address before anything slow happens; ServeError says why it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(socket.SOMAXCONN)
    except (OSError, UnicodeError) as error:
        listener.close()
        raise ServeError(_why_not(host, port, error)) from None
    return listener


def _why_not(host: str, port: int, error: OSError | UnicodeError) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use by another process; stop it or choose another one "
            "with --port (0 takes a free one)."
        )
    if number == errno.EACCES:
        return f"Port {port} may not be used by this user; choose --port 1024 or above."
    return f"Cannot listen on --host {host}: {error}. Use 127.0.0.1, 0.0.0.0 or an own address."


class Server(uvicorn.Server):
    """uvicorn around our state: loads the model beside the loop, ends streams before it stops.

    `address` is the URL that clients use.
    """

    def __init__(self, state: ServerState, listener: socket.socket, options: ServeOptions) -> None:
        config = uvicorn.Config(
            create_app(state, access_log=options.access_log),
            log_config=None,
            access_log=False,
            limit_concurrency=state.limits.max_sequences + SPARE_CONNECTIONS,
            timeout_graceful_shutdown=int(options.shutdown_timeout + GRACE_SECONDS),
        )
        super().__init__(config)
        self._state = state
        self._listener = listener
        host, port = listener.getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._timeout = options.shutdown_timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def run_until_stopped(self, load: Callable[[], ServedModel]) -> None:
        """Serve until stopped; raises what `load` raised."""
        console.print(f"Listening on {self.address}; loading the model.")
        try:
            asyncio.run(self._main(load))
        finally:
            if self._state.loaded is not None:
                self._state.loaded.engine.close()
            self._listener.close()
        if self._failure is not None:
            raise self._failure

    async def _main(self, load: Callable[[], ServedModel]) -> None:
        self._loop = asyncio.get_running_loop()
        self._state.loading()
        # A daemon thread: a stop while gigabytes are being read must not wait for them.
        threading.Thread(target=self._load, args=(load,), name="load", daemon=True).start()
        await self.serve(sockets=[self._listener])

    def _load(self, load: Callable[[], ServedModel]) -> None:
        try:
            model = load()
        except BaseException as error:
            self._call_in_loop(self._give_up, error)
        else:
            self._call_in_loop(self._ready, model)

    def _call_in_loop(self, callback: Callable[..., None], *values: object) -> None:
        # A server that has stopped meanwhile has no running loop, and nobody to tell.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, *values)

    def _give_up(self, error: BaseException) -> None:
        self._failure = error
        self._state.failed(str(error))
        self.should_exit = True

    def _ready(self, model: ServedModel) -> None:
        if self._state.phase == "stopping":
            model.engine.close()
            return
        seconds = self._state.seconds_in_phase()
        self._state.ready(model)
        console.print(
            f"Serving {model.name} on {self.address}/v1 (ready after {seconds:.1f} s; "
            f"{model.context_length} tokens of context)."
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop: running answers may finish, new ones are refused."""
        super().handle_exit(sig, frame)
        self._call_in_loop(self._stop)

    def _stop(self) -> None:
        assert self._loop is not None
        if self._state.phase == "stopping":
            return
        self._state.stopping()
        running = self._state.in_flight
        logger.info("stopping; %d answers may finish within %g s", running, self._timeout)
        message = "The server is shutting down and could not finish this answer; send it again."
        error = ApiError(503, message, kind="server_error", code="stopping", retry_after=1)
        self._loop.call_later(self._timeout, self._state.interrupt, error)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Take a signal without effect."""
