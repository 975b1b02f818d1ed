"""The options of `llm serve`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llm_cli.options import flag, option
from llm_infer.bounds import check_bounds
from llm_infer.options.model import ModelOptions
from llm_infer.options.template import TemplateOptions
from llm_serve.errors import ServeError

_SERVER = "Server"
_LIMITS = "Limits"
_BOUNDS = {
    "port": 0,
    "max_concurrency": 1,
    "max_queue": 0,
    "request_timeout": 0,
    "heartbeat": 0.1,
    "shutdown_timeout": 0,
    "max_length": 1,
}
KEY_VARIABLE = "LLM_SERVE_API_KEY"


@dataclass(kw_only=True)
class ServeOptions(ModelOptions, TemplateOptions):
    """Serve a model over HTTP with the OpenAI interface.

    Answers /v1/completions, /v1/chat/completions and /v1/models, streaming or whole; /health,
    /ready and /metrics are for the machines around it; /docs lists everything.
    """

    served_model_name: str | None = option(
        None, help="Name that clients use; the folder's name by default.", group=_SERVER
    )
    host: str = option("127.0.0.1", help="Address to listen on; 0.0.0.0 for all.", group=_SERVER)
    port: int = option(
        8011, help="Port to listen on; 0 takes a free one.", group=_SERVER, aliases=("flask_port",)
    )
    api_key: str | None = option(
        None,
        help=f"Key that clients must send; the environment's {KEY_VARIABLE} by default.",
        group=_SERVER,
    )
    max_concurrency: int = option(
        32, help="Sequences that are generated at the same time.", group=_LIMITS
    )
    max_queue: int = option(
        64, help="Sequences that may wait; beyond them clients get status 429.", group=_LIMITS
    )
    request_timeout: float = option(
        600.0, help="Seconds after which an answer is given up; 0 for never.", group=_LIMITS
    )
    heartbeat: float = option(
        15.0, help="Seconds of silence after which a stream sends a comment.", group=_LIMITS
    )
    shutdown_timeout: float = option(
        30.0, help="Seconds that running answers get to finish after SIGTERM.", group=_LIMITS
    )
    access_log: bool = flag(False, help="Log a line for every request.", group=_SERVER)
    max_length: int | None = option(
        None,
        help="Tokens a sequence for which the KV cache is sized; the model's context by default.",
        group=_LIMITS,
    )

    def __post_init__(self) -> None:
        """Check what the types cannot say; ServeError or UnsupportedError names the option."""
        self.settle_model()
        check_bounds(self, _BOUNDS, ServeError)
        if self.port > 65535:
            message = f"--port is {self.port}; ports end at 65535."
            raise ServeError(message)
        if self.use_fake_parameter:
            message = "--use_fake_parameter makes answers that mean nothing; leave it out."
            raise ServeError(message)
        if self.api_key is None:
            self.api_key = os.environ.get(KEY_VARIABLE) or None
        _check_key(self.api_key)
        if self.served_model_name is None:
            self.served_model_name = Path(self.model_name_or_path).resolve().name


def _check_key(key: str | None) -> None:
    """Raise ServeError for a key that no header can hold; the message does not tell it."""
    if key is None or (key and key.isprintable() and key == key.strip()):
        return
    wrong = "is empty" if not key else "holds line breaks, control characters or spaces around it"
    message = (
        f"The API key (--api_key or {KEY_VARIABLE}) {wrong}, so that no client could send it. "
        "Choose another."
    )
    raise ServeError(message)
