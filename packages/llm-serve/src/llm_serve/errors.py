"""What can go wrong, for the person at the shell and for the program at the other end.

`ServeError` ends the command with exit code 2 and a sentence. `ApiError` becomes an HTTP answer in
the JSON shape of the OpenAI interface: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

from typing import Any


class ServeError(ValueError):
    """The server cannot start: the port is taken, the address is not ours, the model is missing."""

    exit_code = 2


class ApiError(Exception):
    """One request cannot be answered.

    `status` is the HTTP status, `kind` the `type` field (`invalid_request_error`, ...), `param` the
    request field at fault, `code` a short machine-readable name, `retry_after` seconds after which
    trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the JSON object that clients of the OpenAI interface expect."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that belong to the status."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers
