"""The HTTP application: paths, keys, statuses. What an answer contains is decided elsewhere.

`create_app(state)` gives an ASGI application that can be served by any server and called by tests
without one. The keys guard `/v1`; health, readiness and metrics are for the machines around it.
"""

from __future__ import annotations

import hmac
import logging
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_serve.docs_page import docs_page
from llm_serve.errors import ApiError
from llm_serve.requests import chat_completions, completions
from llm_serve.schema import ChatRequest, CompletionRequest, GenerationRequest
from llm_serve.state import ServerState
from llm_serve.stream import ClientGoneError, error_response

logger = logging.getLogger(__name__)

CLIENT_GONE = 499


def create_app(state: ServerState, *, access_log: bool = False) -> FastAPI:
    """Build the application around a server's state; `access_log` logs every answer."""
    app = FastAPI(
        title="llm serve",
        version=version("llm-toolchain-serve"),
        description="The OpenAI interface to one model.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.server = state
    app.include_router(_operations())
    app.include_router(_openai())
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _own_error)
    app.add_middleware(_Counted, state=state, level=logging.INFO if access_log else logging.DEBUG)
    return app


def _state(request: Request) -> ServerState:
    state: ServerState = request.app.state.server
    return state


def _operations() -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health", summary="Is the process alive and its engine sound?")
    async def health(request: Request) -> JSONResponse:
        state = _state(request)
        sound = state.phase != "failed"
        body = {"status": "ok" if sound else "failed", "error": state.failure}
        return JSONResponse(body, status_code=200 if sound else 503)

    @router.get("/ready", summary="Does it answer requests now?")
    async def ready(request: Request) -> JSONResponse:
        state = _state(request)
        body = {"phase": state.phase, "seconds": round(state.seconds_in_phase(), 3)}
        return JSONResponse(body, status_code=200 if state.phase == "ready" else 503)

    @router.get("/metrics", summary="Counters and gauges in the Prometheus text format")
    async def metrics(request: Request) -> Response:
        return Response(_state(request).metrics.text(), media_type="text/plain; version=0.0.4")

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(docs_page(request.app.openapi()))

    return router


def _openai() -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["openai"], dependencies=[Depends(_authorized)])

    @router.get("/models", summary="The served model, its adapters and tuned prefixes")
    async def models(request: Request) -> JSONResponse:
        state = _state(request)
        cards = [_model_card(state, name) for name in state.variants]
        return JSONResponse({"object": "list", "data": cards})

    @router.get("/models/{name:path}", summary="One model")
    async def model(request: Request, name: str) -> JSONResponse:
        return JSONResponse(_model_card(_state(request), name))

    @router.post("/completions", summary="Continue text", openapi_extra=_body(CompletionRequest))
    async def complete(request: Request) -> Response:
        return await completions(_state(request), request)

    @router.post(
        "/chat/completions", summary="Continue a conversation", openapi_extra=_body(ChatRequest)
    )
    async def chat(request: Request) -> Response:
        return await chat_completions(_state(request), request)

    return router


def _body(kind: type[GenerationRequest]) -> dict[str, Any]:
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _model_card(state: ServerState, name: str) -> dict[str, Any]:
    variant = state.variant(name)
    card: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": int(state.started),
        "owned_by": "llm-toolchain",
        "parent": None if name == state.name else state.name,
    }
    if state.loaded is not None:
        card["max_model_len"] = state.loaded.length_behind(variant.prefix)
    return card


def _authorized(request: Request) -> None:
    key = _state(request).api_key
    if key is None:
        return
    # Starlette reads headers as Latin-1, whatever bytes came.
    given = request.headers.get("Authorization", "").encode("latin-1")
    if not any(hmac.compare_digest(given, header) for header in _headers_of(key)):
        message = "The API key is missing or wrong; send it as 'Authorization: Bearer KEY'."
        raise ApiError(401, message, kind="authentication_error", code="invalid_api_key")


def _headers_of(key: str) -> list[bytes]:
    """What clients send for a key: most write it in UTF-8, some in Latin-1 where that has it."""
    header = f"Bearer {key}"
    latin = [header.encode("latin-1")] if all(ord(letter) < 256 for letter in key) else []
    return [header.encode(), *latin]


async def _api_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, ApiError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = str(error.detail)
    if error.status_code == 404:
        message = f"There is no {request.url.path}; the paths are listed under /docs."
    elif error.status_code == 405:
        message = f"{request.url.path} does not take {request.method} requests."
    return error_response(ApiError(error.status_code, message))


async def _own_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = f"The server failed with {type(error).__name__}; its log has the details."
    return error_response(ApiError(500, message, kind="server_error", code="internal_error"))


class _Counted:
    """Count every answer by its path and status, whoever wrote it."""

    def __init__(self, app: ASGIApp, state: ServerState, level: int) -> None:
        self._app = app
        self._state = state
        self._level = level

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_GONE

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientGoneError:
            status = CLIENT_GONE
        finally:
            # Paths nobody serves share one label: a scanner must not grow the registry.
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._state.metrics.answered(path, status)
            logger.log(self._level, "%s %s %d", scope["method"], scope["path"], status)
