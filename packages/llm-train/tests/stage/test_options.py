"""Bare `llm train`: the options of the stage that the file names."""

from __future__ import annotations

from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions
from llm_train.sft.options import SftOptions
from llm_train.stage.options import StageOptions


def chosen(**values: Any) -> Any:
    return StageOptions(model_name_or_path="m", output_dir="o", **values).of_stage()


def test_the_stage_decides_in_any_case_of_letters() -> None:
    assert chosen(stage="SFT", src_length=5) == SftOptions(
        model_name_or_path="m", output_dir="o", src_length=5
    )
    assert chosen(stage="pretrain", split="1,1,1") == PretrainOptions(
        model_name_or_path="m", output_dir="o", split="1,1,1"
    )


def test_each_stage_keeps_its_own_defaults() -> None:
    assert chosen(stage="pretrain").min_learning_rate == 1e-5
    assert chosen(stage="sft").min_learning_rate == 0.0


@pytest.mark.parametrize("stage", [None, "dpo"])
def test_a_stage_must_be_known(stage: str | None) -> None:
    with pytest.raises(RecipeError, match="pretrain, sft with --stage") as raised:
        chosen(stage=stage)
    assert ("'dpo'" in str(raised.value)) == (stage == "dpo")


def test_options_of_another_stage_are_refused() -> None:
    with pytest.raises(RecipeError, match="input_dir does not belong to stage sft"):
        chosen(stage="sft", input_dir="d")
    with pytest.raises(RecipeError, match="src_length does not belong to stage pretrain"):
        chosen(stage="pretrain", src_length=7)


def test_the_stages_own_checks_are_made() -> None:
    with pytest.raises(RecipeError, match="--max_seq_length"):
        chosen(stage="pretrain", max_seq_length=-1)
