"""Text to token ids and back: `load_tokenizer(path)` gives a `Tokenizer`.

The rest of the toolchain sees only the interface; which file format a tokenizer comes from is
decided in `loading` by the files that are present, never by a model's name.
"""

from __future__ import annotations

from llm_data.tokenizer.interface import Tokenizer
from llm_data.tokenizer.loading import load_tokenizer

__all__ = ["Tokenizer", "load_tokenizer"]
