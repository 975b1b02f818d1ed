"""Special tokens that a model's code appends to its sentencepiece model.

The model file does not hold them; `tokenizer_class` of tokenizer_config.json names the code, and
where no class is named, the number of pieces tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Appended:
    """What the code adds."""

    texts: tuple[str, ...] = ()
    """Special tokens with the ids that follow the model's pieces, in order."""
    before: tuple[str, ...] = ()
    """What `add_special_tokens` puts before a text instead of BOS."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Roles that the code gives to pieces."""


# ChatGLM3 has the four roles, ChatGLM2 ends before them; its embedding has rows for all.
CHATGLM = Appended(
    (
        *("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
        *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    ),
    before=("[gMASK]", "sop"),
    roles={"pad_token": "<unk>"},
)
BY_CLASS = {"ChatGLMTokenizer": CHATGLM, "ChatGLMv2Tokenizer": CHATGLM}
BY_PIECES = {64789: CHATGLM}


def appended_of(config: Mapping[str, Any], pieces: int) -> Appended:
    """What the class that a tokenizer_config.json names appends to a model of so many pieces."""
    name = config.get("tokenizer_class")
    found = BY_PIECES.get(pieces) if name is None else BY_CLASS.get(str(name))
    return found or Appended()
