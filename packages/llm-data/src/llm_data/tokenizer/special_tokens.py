"""Special tokens as `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` say.

The same token may be a string or an object with `content`; the map wins over the config, as in
the original tokenizers. Knows nothing about how text is cut into pieces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_data.errors import TokenizerError

CONFIG_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
)
_ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


@dataclass(frozen=True)
class SpecialTokens:
    """Texts of the special tokens, and the switches that come with them."""

    roles: dict[str, str] = field(default_factory=dict)
    """`bos_token`, `eos_token`, ... -> text."""
    additional: tuple[str, ...] = ()
    """Special tokens without a role, such as `<|im_start|>`."""
    added_ids: dict[str, int] = field(default_factory=dict)
    """Special tokens that the config itself gives an id (beyond the vocabulary file)."""
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Added tokens that are not special, found in every text: text -> its entry, `id` included."""
    config: dict[str, Any] = field(default_factory=dict)
    """The whole of `tokenizer_config.json`."""

    def texts(self) -> list[str]:
        """Every special token once, longest first, so that none hides inside another."""
        unique = dict.fromkeys([*self.roles.values(), *self.additional, *self.added_ids])
        return sorted(unique, key=lambda text: (-len(text), text))


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, `{}` if there is no such file. Raises TokenizerError."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        message = f"{path} is not readable JSON ({error}). Restore it from the original tokenizer."
        raise TokenizerError(message) from error
    if not isinstance(value, dict):
        message = f"{path} holds a {type(value).__name__}, a JSON object is needed."
        raise TokenizerError(message)
    return value


def read_special_tokens(folder: Path) -> SpecialTokens:
    """Special tokens of the tokenizer in `folder`. Raises TokenizerError for unreadable JSON."""
    config = read_json_object(folder / "tokenizer_config.json")
    tokens_map = read_json_object(folder / "special_tokens_map.json")
    added_ids = dict(read_json_object(folder / "added_tokens.json"))
    plain: dict[str, dict[str, Any]] = {}
    additional: list[str] = []
    for index, entry in config.get("added_tokens_decoder", {}).items():
        text = _text(entry)
        if text is None or not isinstance(entry, dict):
            continue
        if entry.get("special", False):
            added_ids[text] = int(index)
        else:
            added_ids.pop(text, None)
            plain[text] = {**entry, "id": int(index)}
    roles: dict[str, str] = {}
    for source in (config, tokens_map):
        for role in _ROLES:
            text = _text(source.get(role))
            if text:
                roles[role] = text
        extra = source.get("additional_special_tokens") or []
        additional += [text for text in map(_text, extra) if text]
    return SpecialTokens(roles, tuple(dict.fromkeys(additional)), added_ids, plain, config)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return str(value["content"])
    return None
