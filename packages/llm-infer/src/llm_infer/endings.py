"""Which tokens end an answer, from every file of a model that names one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_infer.errors import InferError
from llm_infer.sources import Source

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def ending_tokens(model: Source, tokenizer: Tokenizer | None) -> set[int]:
    """Every id that the model's files or its tokenizer name as the end of an answer.

    Raises InferError for a file or an id that is none.
    """
    file = model.path / "generation_config.json"
    found = _stated(file, _object_in(file)) | _stated(model.path / "config.json", model.config)
    if tokenizer is not None and tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    unknown = {token_id for token_id in found if not 0 <= token_id < model.sizes.vocab}
    if unknown:
        logger.warning(
            "%s names %s as the end of an answer, but the model knows 0 to %d; ignored",
            model.path,
            sorted(unknown),
            model.sizes.vocab - 1,
        )
    return found - unknown


def _object_in(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file, empty where there is no file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{file} cannot be read: {error}. Copy it again from its origin, or remove it."
        raise InferError(message) from error
    if not isinstance(content, dict):
        message = f"{file} holds no JSON object. Copy it again from its origin, or remove it."
        raise InferError(message)
    return content


def _stated(file: Path, content: Mapping[str, Any]) -> set[int]:
    """The end of sequence ids that a configuration states: none, one or a list."""
    value = content.get("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(token_id, int) and not isinstance(token_id, bool) for token_id in ids):
        message = f"{file}: eos_token_id is {value!r}; it must be a whole number or a list of them."
        raise InferError(message)
    return set(ids)
