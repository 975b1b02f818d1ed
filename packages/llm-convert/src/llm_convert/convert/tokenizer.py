"""The tokenizer on its way into a GGUF file, and out of one."""

from __future__ import annotations

import logging
from pathlib import Path

from llm_convert.foreign import gguf_module
from llm_convert.tokenizers import (
    UncarriedError,
    Vocabulary,
    holds_tokenizer,
    read_folder,
    write_folder,
)

logger = logging.getLogger(__name__)


def tokenizer_of(source: Path, rows: int) -> Vocabulary | None:
    """The tokenizer of a model (a folder, or a GGUF file), for an embedding of so many rows.

    None, with a warning that says why, where it has none or one that GGUF files cannot hold.
    """
    folder = source if source.is_dir() else source.parent
    try:
        found = read_folder(folder)
        if found is None and source.suffix == ".gguf":
            found = gguf_module("tokenizer").read_tokenizer(source)
        if found is not None:
            # Here, so that the file is not begun with a tokenizer that does not fit.
            found.padded(rows)
            return found
        reason = "there is none beside the model"
    except UncarriedError as error:
        reason = str(error)
    logger.warning(
        "The GGUF file has no tokenizer, without which llama.cpp takes token ids only: %s. Put a "
        "byte-level tokenizer.json or a sentencepiece tokenizer.model beside the model.",
        reason,
    )
    return None


def write_tokenizer(source: Path, folder: Path) -> list[str]:
    """Write the tokenizer of a GGUF file into a folder that has none; the names written.

    None, with a warning that says why, where the file has none or one that cannot be carried.
    """
    if holds_tokenizer(folder):
        return []
    try:
        found = gguf_module("tokenizer").read_tokenizer(source)
        if found is not None:
            return write_folder(found, folder)
        reason = "the file has none"
    except UncarriedError as error:
        reason = str(error)
    logger.warning(
        "The tokenizer of %s is not written: %s. Copy the original model's tokenizer files.",
        source,
        reason,
    )
    return []
