"""The JSON of a request: read within bounds of size and time, refused where it is no JSON."""

from __future__ import annotations

import asyncio
import json
import re

from starlette.requests import ClientDisconnect, Request

from llm_serve.errors import ApiError
from llm_serve.state import Limits
from llm_serve.stream import ClientGoneError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


async def read_json(limits: Limits, request: Request) -> object:
    """Read and decode the body of a request; ApiError 400, 408 or 413 says what is wrong with it.

    Its texts hold no lone surrogates, so that all of them can be tokenized and sent back.
    """
    try:
        async with asyncio.timeout(limits.body_timeout):
            body = await _read(limits.max_body_bytes, request)
    except ClientDisconnect:
        raise ClientGoneError from None
    except TimeoutError:
        message = f"The body was not there after {limits.body_timeout:g} seconds; send it faster."
        raise ApiError(408, message, kind="timeout_error", code="body_timeout") from None
    try:
        return _decode(body)
    except UnicodeEncodeError:
        message = "The body holds half of a surrogate pair (\\ud800 to \\udfff), which is no text."
    except RecursionError:
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
