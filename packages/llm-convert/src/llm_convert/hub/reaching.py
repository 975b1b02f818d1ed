"""Whether a host answers at all, directly or through the proxy that the environment names.

No TLS is spoken and nothing is loaded: a connection is opened, or a proxy is asked for one. So
certificates, which HTTP libraries find in different places, do not matter here.
"""

from __future__ import annotations

import base64
import http.client
import socket
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from llm_convert.hub.waiting import within

# What a proxy answers where it has no way to the host, or wants to know first who asks.
_NO_WAY = (407, 502, 503, 504)


def reach(url: str, seconds: float) -> None:
    """Return once the host of `url` answers; OSError where it does not in so many seconds."""
    target = urlsplit(url)
    proxy = proxy_of(target)
    if proxy is None:
        within(seconds, lambda: _connect(target, seconds))
    elif proxy.scheme == "http":
        within(seconds, lambda: _ask(proxy, target, seconds))
    else:  # a proxy that is asked over TLS or SOCKS: at least it is there
        within(seconds, lambda: _connect(proxy, seconds))


def proxy_of(target: SplitResult) -> SplitResult | None:
    """The proxy for a host: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names it."""
    proxies = getproxies()
    stated = proxies.get(target.scheme) or proxies.get("all")
    if not stated or proxy_bypass(target.hostname or ""):
        return None
    return urlsplit(stated if "://" in stated else f"http://{stated}")


def _port(url: SplitResult) -> int:
    known = {"https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
    return url.port or known.get(url.scheme, 80)


def _connect(url: SplitResult, seconds: float) -> None:
    socket.create_connection((url.hostname or "", _port(url)), timeout=seconds).close()


def _ask(proxy: SplitResult, target: SplitResult, seconds: float) -> None:
    """Have a proxy connect to a host of https, or ask it for the first page of one of http."""
    headers = {}
    if proxy.username is not None:
        who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(who.encode()).decode()}"
    connection = http.client.HTTPConnection(proxy.hostname or "", _port(proxy), timeout=seconds)
    try:
        if target.scheme == "https":
            connection.set_tunnel(target.hostname or "", _port(target), headers)
            connection.connect()
            return
        connection.request("HEAD", f"http://{target.netloc}/", headers=headers)
        answer = connection.getresponse()
        if answer.status in _NO_WAY:
            message = f"the proxy {proxy.hostname} answers {answer.status} {answer.reason}"
            raise ConnectionError(message)
    except http.client.HTTPException as error:
        message = f"the proxy {proxy.hostname} does not speak HTTP"
        raise ConnectionError(message) from error
    finally:
        connection.close()
