"""Options of pretraining alone."""

from __future__ import annotations

import pytest

from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions


def test_evaluations_are_ten_batches_unless_told() -> None:
    assert PretrainOptions(model_name_or_path="m", output_dir="o").max_evaluate_steps == 10
    told = PretrainOptions(model_name_or_path="m", output_dir="o", max_evaluate_steps=3)
    assert told.max_evaluate_steps == 3
    for name in ("eval_iters", "max_evaluate_steps"):
        values = {"model_name_or_path": "m", "output_dir": "o", name: -1}
        assert PretrainOptions(**values).batches("eval") is None
    told = PretrainOptions(model_name_or_path="m", output_dir="o", max_test_steps=-1, test_iters=4)
    assert told.batches("test") is None


def test_samples_have_tokens() -> None:
    with pytest.raises(RecipeError, match="--max_seq_length is 0"):
        PretrainOptions(model_name_or_path="m", output_dir="o", max_seq_length=0)
