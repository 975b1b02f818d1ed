"""Options of supervised fine-tuning alone."""

from __future__ import annotations

import pytest

from llm_train.errors import RecipeError
from llm_train.sft.options import SftOptions


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match="--eval_with_do_generation true"):
        SftOptions(model_name_or_path="m", output_dir="o", eval_with_do_generation=True)


def test_lengths_are_paddlenlps() -> None:
    options = SftOptions(model_name_or_path="m", output_dir="o")
    assert (options.src_length, options.max_length) == (1024, 2048)
