"""How a conversation is written for the model: options of every command that reads one."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import option


@dataclass(kw_only=True)
class TemplateOptions:
    """The chat template."""

    chat_template: str | None = option(
        None,
        help="chat_template.json or folder to use; the model's own by default, 'none' for none.",
        group="Conversation",
    )
