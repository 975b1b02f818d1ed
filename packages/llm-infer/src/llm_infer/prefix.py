"""Which tokens lay out the prompts of a model with a prefix mask, from its files.

ChatGLM-6B's config.json names their ids; GLM's does not, so its tokenizer is asked by their text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_infer.engine import PrefixLayout
from llm_infer.errors import InferError
from llm_infer.sources import Source

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

START_TEXTS = ("<sop>", "<|startofpiece|>")
MASK_FIELDS = ("gmask_token_id", "mask_token_id")
MASK_TEXTS = ("[gMASK]", "[MASK]", "[sMASK]")


def prefix_layout(model: Source, tokenizer: Tokenizer | None) -> PrefixLayout | None:
    """The layout of the model's prompts, None for a causal model.

    Raises InferError where neither config.json nor the tokenizer knows the tokens.
    """
    if model.spec.mask == "causal":
        return None
    texts = tokenizer.special_tokens if tokenizer else {}
    starts = [model.config.get("bos_token_id"), *(texts.get(text) for text in START_TEXTS)]
    masks = [model.config.get(name) for name in MASK_FIELDS]
    start = next((token_id for token_id in starts if token_id is not None), None)
    found = [token_id for token_id in masks if token_id is not None]
    found = found or [texts[text] for text in MASK_TEXTS if text in texts]
    if start is None or not found:
        message = (
            f"{model.path} is a {model.spec.name}, whose prompts need a start and a mask token: "
            f"config.json does not name them (bos_token_id, {', '.join(MASK_FIELDS)}), nor does "
            f"a tokenizer ({', '.join((*START_TEXTS, *MASK_TEXTS))}). Put the model's own "
            "tokenizer beside it."
        )
        raise InferError(message)
    return PrefixLayout(start, tuple(found))
