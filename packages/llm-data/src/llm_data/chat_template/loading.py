"""Finds a chat template and gives it one face, whichever of the two formats it is written in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_data.chat_template.hugging_face import HuggingFaceTemplate
from llm_data.chat_template.interface import ChatTemplate
from llm_data.chat_template.paddle import PaddleTemplate
from llm_data.errors import ChatTemplateError
from llm_data.tokenizer.interface import Tokenizer
from llm_data.tokenizer.special_tokens import read_special_tokens


def load_chat_template(source: str | Path | None, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The template that `--chat_template` means.

    None: the one in the tokenizer's folder (chat_template.json, then chat_template.jinja, then
    `chat_template` of tokenizer_config.json), or none. "none": no template. Else a folder, a .json
    file in PaddleNLP's format, or a file with an HF Jinja template.
    Raises ChatTemplateError when the source given holds no template or a malformed one.
    """
    if source is not None and str(source).lower() == "none":
        return None
    place = tokenizer.path if source is None else Path(source).expanduser()
    if place.is_dir():
        found = _in_folder(place)
        if found is None and source is not None:
            message = (
                f"--chat_template {place} holds neither chat_template.json nor a chat_template in "
                'tokenizer_config.json. Name a template file, or "none".'
            )
            raise ChatTemplateError(message)
        return found
    if not place.is_file():
        message = f'--chat_template {place} does not exist. Name a file, a folder, or "none".'
        raise ChatTemplateError(message)
    return _from_file(place, tokenizer.path)


def _in_folder(folder: Path) -> ChatTemplate | None:
    for name in ("chat_template.json", "chat_template.jinja"):
        if (folder / name).is_file():
            return _from_file(folder / name, folder)
    template = read_special_tokens(folder).config.get("chat_template")
    if template is None:
        return None
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template}
        template = named.get("default")
    if not isinstance(template, str):
        message = f"chat_template in {folder / 'tokenizer_config.json'} is no text."
        raise ChatTemplateError(message)
    return _jinja(template, f"{folder / 'tokenizer_config.json'}", folder)


def _from_file(path: Path, tokenizer_folder: Path) -> ChatTemplate:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".json":
            return _jinja(text, str(path), tokenizer_folder)
        content = json.loads(text)
    except (UnicodeDecodeError, ValueError) as error:
        message = f"The chat template {path} is not readable: {error}."
        raise ChatTemplateError(message) from error
    if isinstance(content, dict) and isinstance(content.get("chat_template"), str):
        return _jinja(content["chat_template"], str(path), tokenizer_folder)
    return PaddleTemplate.from_object(content, str(path))


def _jinja(text: str, name: str, folder: Path) -> ChatTemplate:
    special: dict[str, Any] = dict(read_special_tokens(folder).roles)
    return HuggingFaceTemplate(text, name, special)
