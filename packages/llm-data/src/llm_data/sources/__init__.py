"""Raw text files as documents: which files, cut into blocks, parsed into texts.

Reading is streaming and restartable at any block border; nothing here knows tokenizers.
"""

from __future__ import annotations

from llm_data.sources.blocks import Block, Piece, Position, read_blocks
from llm_data.sources.documents import Documents, TextFormat, read_documents
from llm_data.sources.nothing import no_document
from llm_data.sources.paths import expand_inputs, format_of

__all__ = [
    "Block",
    "Documents",
    "Piece",
    "Position",
    "TextFormat",
    "expand_inputs",
    "format_of",
    "no_document",
    "read_blocks",
    "read_documents",
]
