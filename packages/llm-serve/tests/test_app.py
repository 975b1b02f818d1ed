"""Paths, keys and statuses, through the application without a socket."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from llm_serve.app import create_app
from llm_serve.state import Limits, ServerState

Serve = Callable[[FastAPI], httpx.Client]
ASK = {"prompt": "a", "max_tokens": 3, "temperature": 0}


def test_models(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    (card,) = listed["data"]
    assert (card["id"], card["object"], card["max_model_len"]) == ("tiny", "model", 100)
    assert client.get("/v1/models/tiny").json() == card
    missing = client.get("/v1/models/a/b")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_health_and_readiness_follow_the_phase(client: httpx.Client, state: ServerState) -> None:
    assert client.get("/health").json() == {"status": "ok", "error": None}
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()["phase"]) == (200, "ready")
    state.failed("gone")
    assert client.get("/health").status_code == 503
    assert client.get("/health").json() == {"status": "failed", "error": "gone"}
    assert client.get("/ready").status_code == 503


def test_while_loading_the_server_answers_and_says_so(serve: Serve) -> None:
    state = ServerState("tiny", Limits(max_sequences=1))
    state.loading()
    client = serve(create_app(state))
    assert client.get("/health").status_code == 200
    ready = client.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["phase"] == "loading"
    assert 0 <= ready.json()["seconds"] < 5
    assert "max_model_len" not in client.get("/v1/models").json()["data"][0]
    answer = client.post("/v1/completions", json=ASK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "loading"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "secret", "Bearer ü", "Basic secret"])
def test_a_wrong_key_is_refused(serve: Serve, state: ServerState, header: str | None) -> None:
    state.api_key = "secret"
    client = serve(create_app(state))
    headers = {} if header is None else {"Authorization": header.encode()}
    for answer in (
        client.get("/v1/models", headers=headers),
        client.post("/v1/completions", json=ASK, headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("key", ["schlüssel", "ключ", "密钥"])
def test_a_key_may_have_any_letters(serve: Serve, state: ServerState, key: str) -> None:
    state.api_key = key
    client = serve(create_app(state))
    encodings = ["utf-8", "latin-1"] if key == "schlüssel" else ["utf-8"]
    for encoding in encodings:
        headers = {"Authorization": f"Bearer {key}".encode(encoding)}
        assert client.get("/v1/models", headers=headers).status_code == 200
    for wrong in (b"Bearer", f"Bearer {key}".encode("ascii", "replace"), b"Bearer \xff"):
        assert client.get("/v1/models", headers={"Authorization": wrong}).status_code == 401


def test_the_right_key_opens_and_the_machines_need_none(serve: Serve, state: ServerState) -> None:
    state.api_key = "secret"
    client = serve(create_app(state))
    headers = {"Authorization": "Bearer secret"}
    assert client.post("/v1/completions", json=ASK, headers=headers).status_code == 200
    for path in ("/health", "/ready", "/metrics"):
        assert client.get(path).status_code == 200


def test_paths_and_methods_that_do_not_exist(client: httpx.Client) -> None:
    missing = client.get("/v1/nothing")
    assert missing.status_code == 404
    assert "There is no /v1/nothing" in missing.json()["error"]["message"]
    wrong = client.get("/v1/completions")
    assert wrong.status_code == 405
    assert "does not take GET" in wrong.json()["error"]["message"]


def test_our_own_mistakes_keep_the_shape(
    client: httpx.Client, state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        key = "oops"
        raise KeyError(key)

    monkeypatch.setattr(state, "model", broken)
    answer = client.post("/v1/completions", json=ASK)
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert "KeyError" in error["message"]
    assert "oops" not in error["message"]


def test_the_description_lists_the_fields(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert {"prompt", "max_tokens", "stream_options"} <= set(body["schema"]["properties"])
    assert client.get("/docs").status_code == 200


def test_answers_are_logged_on_request(
    serve: Serve,
    state: ServerState,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    caplog.set_level(logging.INFO, "llm_serve")
    serve(create_app(state)).get("/v1/nothing")
    serve(create_app(state, access_log=True)).get("/v1/models/nothing")
    # The line is written once the answer is on its way.
    eventually(lambda: bool(caplog.messages))
    assert caplog.messages == ["GET /v1/models/nothing 404"]
