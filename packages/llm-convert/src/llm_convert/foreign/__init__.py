"""Models in files that have no config.json: Meta's consolidated shards, and GGUF.

Each is opened as a `Model` whose config.json is made from what the format states: `meta.open_meta`,
`gguf_reading.open_gguf`. GGUF is written, too: `gguf_writing.write_gguf`; `gguf_tokenizer` has its
tokenizers. The package `gguf` (extra `gguf`) is imported by the modules of that name only;
`gguf_module` asks for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from llm_convert.errors import ConvertError


def gguf_module(what: str) -> Any:
    """The module gguf_{what}: reading, writing or tokenizer. ConvertError without the package."""
    try:
        return import_module(f"llm_convert.foreign.gguf_{what}")
    except ImportError as error:
        message = (
            f"GGUF files need the package gguf ({error}). Install it: "
            'tools/install "llm-convert[gguf]".'
        )
        raise ConvertError(message) from error
