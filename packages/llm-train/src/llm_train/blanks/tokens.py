"""The tokens by which the samples of a model with a prefix mask are laid out, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_data.tokenizer import Tokenizer
from llm_kernels.families import FamilySpec
from llm_train.errors import RecipeError

START_TEXTS = ("<sop>", "<|startofpiece|>")
END_TEXTS = ("<eop>", "<|endofpiece|>")
MASK_TEXTS = ("[gMASK]", "[MASK]", "[sMASK]")
START_FIELD = "bos_token_id"
MASK_FIELDS = ("gmask_token_id", "mask_token_id")


@dataclass(frozen=True)
class BlankTokens:
    """Ids of the start token, of the mask tokens by preference, and of what ends an answer.

    `end` is None where nothing but the tokenizer's EOS does.
    """

    start: int
    masks: tuple[int, ...]
    end: int | None = None

    def state(self, config: dict[str, Any]) -> None:
        """Let `config` name the ids where it names none: whoever runs the model needs them."""
        stated = {START_FIELD: self.start, MASK_FIELDS[0]: self.masks[0], "eos_token_id": self.end}
        for name, token_id in stated.items():
            if config.get(name) is None and token_id is not None:
                config[name] = token_id


def blank_tokens(
    spec: FamilySpec, config: Mapping[str, Any], tokenizer: Tokenizer | None
) -> BlankTokens | None:
    """The tokens of a model: its tokenizer's, else those that config.json names.

    None for a family whose mask is causal. Raises RecipeError where neither knows them.
    """
    if spec.mask != "prefix":
        return None
    texts = tokenizer.special_tokens if tokenizer else {}
    starts = [texts[text] for text in START_TEXTS if text in texts]
    masks = [texts[text] for text in MASK_TEXTS if text in texts]
    starts = starts or _stated(config, START_FIELD)
    masks = masks or _stated(config, *MASK_FIELDS)
    if not starts or not masks:
        message = (
            f"A model of {spec.name} is trained to fill in a blank, for which it needs a start and "
            f"a mask token: the tokenizer has none of {', '.join((*START_TEXTS, *MASK_TEXTS))}, "
            f"nor does config.json name {', '.join((START_FIELD, *MASK_FIELDS))}. Give the model's "
            "own tokenizer with --tokenizer_name_or_path, or add the ids to config.json."
        )
        raise RecipeError(message)
    end = next((texts[text] for text in END_TEXTS if text in texts), None)
    return BlankTokens(starts[0], tuple(masks), end)


def _stated(config: Mapping[str, Any], *names: str) -> list[int]:
    return [int(config[name]) for name in names if config.get(name) is not None]
