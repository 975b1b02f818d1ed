"""Options of supervised fine-tuning alone."""

from __future__ import annotations

from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.sft.options import SftDataOptions, SftOptions


def options(**changes: Any) -> SftOptions:
    return SftOptions(model_name_or_path="m", output_dir="o", **changes)


def test_answers_are_written_by_one_process_of_this_command() -> None:
    assert options(eval_with_do_generation=True).eval_with_do_generation
    with pytest.raises(RecipeError, match="--eval_with_do_generation true works in one process"):
        options(eval_with_do_generation=True, nproc_per_node=2)
    with pytest.raises(RecipeError, match="by loss and accuracy only"):
        SftDataOptions(eval_with_do_generation=True)


def test_noise_has_a_strength() -> None:
    with pytest.raises(RecipeError, match="--neftune_noise_alpha is 0"):
        options(neftune_noise_alpha=0.0)


def test_lengths_are_paddlenlps() -> None:
    options = SftOptions(model_name_or_path="m", output_dir="o")
    assert (options.src_length, options.max_length) == (1024, 2048)
