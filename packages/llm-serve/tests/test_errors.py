"""Errors as answers."""

from __future__ import annotations

from llm_serve.errors import ApiError, ServeError


def test_the_body_has_the_shape_of_the_openai_interface() -> None:
    error = ApiError(429, "full", kind="rate_limit_error", code="server_full", retry_after=2)
    body = {"message": "full", "type": "rate_limit_error", "param": None, "code": "server_full"}
    assert error.body() == {"error": body}
    assert error.headers() == {"Retry-After": "2"}
    assert str(error) == "full"
    assert ApiError(401, "key").headers() == {"WWW-Authenticate": "Bearer"}


def test_what_stops_the_command_has_its_exit_code() -> None:
    assert ServeError("port").exit_code == 2
