"""The JSON of a request: read within bounds of size and time, refused where it is no JSON.

Large bodies are decoded and checked in a thread of their own, one after the other: each further
thread would take a share of the interpreter from the event loop, which streams to everyone else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from llm_serve.errors import ApiError
from llm_serve.fair_json import decode_fairly
from llm_serve.state import Limits
from llm_serve.stream import ClientGoneError

LARGE_BODY = 64 * 2**10
"""Bytes beyond which a body is decoded beside the event loop; up to them it takes some 5 ms."""

T = TypeVar("T")
_one_thread = ThreadPoolExecutor(1, thread_name_prefix="body")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


async def read_json(limits: Limits, request: Request, build: Callable[[object], T]) -> T:
    """Read and decode the body of a request, and return what `build` makes of it.

    ApiError 400, 408 or 413 says what is wrong with it. Its texts hold no lone surrogates, so that
    all of them can be tokenized and sent back.
    """
    try:
        async with asyncio.timeout(limits.body_timeout):
            body = await _read(limits.max_body_bytes, request)
    except ClientDisconnect:
        raise ClientGoneError from None
    except TimeoutError:
        message = f"The body was not there after {limits.body_timeout:g} seconds; send it faster."
        raise ApiError(408, message, kind="timeout_error", code="body_timeout") from None
    if len(body) <= LARGE_BODY:
        return _built(body, _decode, build)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_one_thread, _built, body, _decode_large, build)


def _built(body: bytes, decode: Callable[[bytes], object], build: Callable[[object], T]) -> T:
    try:
        return build(decode(body))
    except UnicodeEncodeError:
        message = "The body holds half of a surrogate pair (\\ud800 to \\udfff), which is no text."
    except RecursionError:
        # Also what JSON's reader takes may be too deep for whoever looks at it further down.
        message = "The body is nested too deeply; send a flatter one."
    except ValueError as error:
        message = f"The body is not JSON: {error}."
    raise ApiError(400, message, code="invalid_json")


async def _read(limit: int, request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            message = f"The body is larger than {limit} bytes, the most this server reads."
            raise ApiError(413, message, code="body_too_large")
    return bytes(body)


def _decode(body: bytes) -> object:
    text = body.decode("utf-8-sig")
    value: object = json.loads(text)
    # Only an escape can bring a surrogate in; whole pairs have become one character.
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _decode_large(body: bytes) -> object:
    return decode_fairly(body.decode("utf-8-sig"))
