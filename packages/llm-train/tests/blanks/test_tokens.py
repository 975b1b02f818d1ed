"""The tokens of blanks: from a tokenizer, else from config.json."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llm_kernels.families import FAMILIES
from llm_train.blanks.tokens import BlankTokens, blank_tokens
from llm_train.errors import RecipeError

GLM = {"<|startofpiece|>": 9, "<|endofpiece|>": 8, "[gMASK]": 7, "[MASK]": 6}


def tokenizer(**texts: int) -> Any:
    return SimpleNamespace(special_tokens=texts)


def test_a_causal_family_has_none() -> None:
    for name, spec in FAMILIES.items():
        found = blank_tokens(spec, {}, tokenizer(**GLM))
        assert (found is None) == (name not in ("chatglm", "glm"))


def test_a_tokenizer_knows_better_than_the_configuration() -> None:
    config = {"bos_token_id": 1, "gmask_token_id": 3, "mask_token_id": 2}
    glm = FAMILIES["glm"]
    assert blank_tokens(glm, config, tokenizer(**GLM)) == BlankTokens(9, (7, 6), 8)
    assert blank_tokens(glm, config, None) == BlankTokens(1, (3, 2), None)
    assert blank_tokens(glm, config, tokenizer(a=1)) == BlankTokens(1, (3, 2), None)


@pytest.mark.parametrize("config", [{}, {"bos_token_id": 1}, {"mask_token_id": 1}])
def test_who_knows_nothing_is_told_what_is_missing(config: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=r"gmask_token_id.*--tokenizer_name_or_path"):
        blank_tokens(FAMILIES["chatglm"], config, None)


def test_what_a_configuration_leaves_open_is_stated() -> None:
    config: dict[str, Any] = {"eos_token_id": 4}
    BlankTokens(9, (7, 6), 8).state(config)
    assert config == {"eos_token_id": 4, "bos_token_id": 9, "gmask_token_id": 7}
