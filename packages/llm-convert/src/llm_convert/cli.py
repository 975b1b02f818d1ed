"""The command of this package; imports nothing heavy, so that `llm --help` stays instant."""

from __future__ import annotations

from llm_cli.command import Command

command = Command(
    "convert",
    options="llm_convert.convert.options:ConvertOptions",
    run="llm_convert.convert.run:convert",
    help="Convert model weights between torch's and PaddleNLP's files.",
)
