"""Encoders and encoder-decoders: no decoder to run them, but their weights move both ways.

`find_encoder(config)` tells from config.json which table a model belongs to (None: it is no
encoder), `open_encoder` checks a folder against it, `save_encoder` writes the other layout. The
tables are in `names`; nothing else here knows a model by its name.
"""

from __future__ import annotations

from llm_convert.encoders.checkpoint import EncoderCheckpoint, open_encoder
from llm_convert.encoders.detection import Found, find_encoder
from llm_convert.encoders.saving import planned_bytes, save_encoder

__all__ = [
    "EncoderCheckpoint",
    "Found",
    "find_encoder",
    "open_encoder",
    "planned_bytes",
    "save_encoder",
]
