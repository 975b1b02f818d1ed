"""The command `llm infer`; nothing heavy is imported before it runs."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "infer",
    help="Run a model: answer prompts and files of prompts, or measure its speed.",
    commands=(
        Command(
            "predict",
            options="llm_infer.predict.options:PredictOptions",
            run="llm_infer.predict.run:predict",
            help="Answer a prompt on the terminal, or every line of a data file.",
        ),
        Command(
            "chat",
            options="llm_infer.chat.options:ChatOptions",
            run="llm_infer.chat.run:chat",
            help="Talk with a model on the terminal.",
        ),
        Command(
            "export",
            options="llm_infer.export.options:ExportOptions",
            run="llm_infer.export.run:export",
            help="Write a model in the form that --mode static runs.",
        ),
    ),
    default="predict",
)
