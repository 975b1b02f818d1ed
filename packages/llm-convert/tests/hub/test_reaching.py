"""Hosts and proxies on 127.0.0.1 that answer, refuse, or say nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from llm_convert.hub.reaching import proxy_of, reach

Asked = list[str]


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, Asked]]:
    """A proxy that says the same to all; its address, and what it was asked."""
    asked: Asked = []

    def serve(server: socket.socket) -> None:
        try:
            while True:
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(4096).decode())
                    connection.sendall(answer)
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(word, raising=False)
        monkeypatch.delenv(word.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://host.example:81", "HEAD http://host.example:81/ HTTP/1.1"),
        ("https://host.example", "CONNECT host.example:443 HTTP/1."),
    ],
)
def test_a_proxy_is_asked_for_the_host(
    monkeypatch: pytest.MonkeyPatch, url: str, line: str
) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (address, asked):
        monkeypatch.setenv(f"{urlsplit(url).scheme}_proxy", f"http://me:a%40b@{address}")
        reach(url, 4)
    assert asked[0].startswith(line)
    assert "Proxy-Authorization: Basic bWU6YUBi" in asked[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502 Bad Gateway"),
        (b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "407 Who are you"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP"),
    ],
)
def test_a_proxy_without_a_way_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, scheme: str, answer: bytes, text: str
) -> None:
    with answering(answer) as (address, _):
        monkeypatch.setenv(f"{scheme}_proxy", address)
        with pytest.raises(OSError, match=text):
            reach(f"{scheme}://host.example", 4)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_proxy_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(f"{scheme}_proxy", f"127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            reach(f"{scheme}://host.example", 0.3)
        assert time.monotonic() - started < 2


def test_a_host_that_needs_no_proxy_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach(f"http://127.0.0.1:{server.getsockname()[1]}", 4)
    with pytest.raises(ConnectionRefusedError):
        reach("http://host.example", 4)


def test_a_proxy_of_another_kind_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("all_proxy", f"socks5://127.0.0.1:{server.getsockname()[1]}")
        reach("https://host.example", 4)
    with pytest.raises(ConnectionRefusedError):
        reach("https://host.example", 4)
    proxy = proxy_of(urlsplit("https://host.example"))
    assert proxy is not None
    assert proxy.scheme == "socks5"
