"""A template into a folder, where `load_chat_template` finds it before any other."""

from __future__ import annotations

import json
from pathlib import Path

from llm_cli.outputs import written_file
from llm_data.chat_template.hugging_face import HuggingFaceTemplate
from llm_data.chat_template.interface import ChatTemplate
from llm_data.chat_template.paddle import PaddleTemplate
from llm_data.errors import ChatTemplateError


def save_chat_template(template: ChatTemplate, folder: str | Path) -> None:
    """Write chat_template.json or chat_template.jinja into an existing folder.

    The other of the two is removed: it would be read first, or stand there without a meaning.
    """
    if isinstance(template, PaddleTemplate):
        parts = {
            "system": template.system,
            "conversation": list(template.conversation),
            "query": template.query,
        }
        content = {name: part for name, part in parts.items() if part is not None}
        name, text = "chat_template.json", json.dumps(content, ensure_ascii=False, indent=2)
    elif isinstance(template, HuggingFaceTemplate):
        name, text = "chat_template.jinja", template.text
    else:
        message = f"The chat template {template.name} cannot be written: its form is not known."
        raise ChatTemplateError(message)
    for other in {"chat_template.json", "chat_template.jinja"} - {name}:
        (Path(folder) / other).unlink(missing_ok=True)
    with written_file(Path(folder) / name) as stream:
        stream.write(text.encode())
