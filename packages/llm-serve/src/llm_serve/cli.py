"""The command `llm serve`; nothing heavy is imported before it runs."""

from __future__ import annotations

from llm_cli.command import Command

command = Command(
    "serve",
    options="llm_serve.options:ServeOptions",
    run="llm_serve.run:serve",
    help="Serve a model over HTTP with the OpenAI interface.",
)
