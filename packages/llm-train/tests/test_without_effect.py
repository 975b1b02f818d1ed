"""Options that are accepted and do nothing are named."""

from __future__ import annotations

from typing import Any

from llm_train.training_options import TrainingOptions
from llm_train.without_effect import without_effect


def made(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"model_name_or_path": "m", "output_dir": "o", **changes})


def test_every_option_that_does_nothing_says_so() -> None:
    said = without_effect(made(use_flash_attention=True, disable_tqdm=True))
    assert [line.split("=")[0] for line in said] == ["use_flash_attention", "disable_tqdm"]
    assert without_effect(made()) == []
    (line,) = without_effect(made(load_best_model_at_end=True))
    assert "nothing is evaluated" in line
