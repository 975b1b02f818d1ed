"""Tokenizers as a vocabulary, between the files of a model's folder and a GGUF file.

    vocabulary = read_folder("model")          # tokenizer.model, or a byte-level tokenizer.json
    write_folder(vocabulary, "folder")         # the same files again

Nothing is tokenized here: what cannot be carried without a loss is refused with UncarriedError.
"""

from __future__ import annotations

from llm_convert.tokenizers.folder import holds_tokenizer, read_folder, write_folder
from llm_convert.tokenizers.vocabulary import Kind, UncarriedError, Vocabulary

__all__ = [
    "Kind",
    "UncarriedError",
    "Vocabulary",
    "holds_tokenizer",
    "read_folder",
    "write_folder",
]
