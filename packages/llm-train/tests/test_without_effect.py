"""Options that are accepted and do nothing are named."""

from __future__ import annotations

from typing import Any

from llm_train.parallel.layout import Layout, layout_of
from llm_train.training_options import TrainingOptions
from llm_train.without_effect import unused_axes, without_effect


def made(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"model_name_or_path": "m", "output_dir": "o", **changes})


def test_every_option_that_does_nothing_says_so() -> None:
    said = without_effect(made(use_fused_rope=True, disable_tqdm=True))
    assert [line.split("=")[0] for line in said] == ["use_fused_rope", "disable_tqdm"]
    assert without_effect(made()) == []
    (line,) = without_effect(made(load_best_model_at_end=True))
    assert "nothing is evaluated" in line


def test_axes_that_the_processes_do_not_have_are_named() -> None:
    wished = made(sharding="stage2", sequence_parallel=True, virtual_pp_degree=2)
    names = [line.split("=")[0] for line in unused_axes(wished, Layout())]
    assert names == ["sharding", "sequence_parallel", "virtual_pp_degree"]
    assert unused_axes(made(sharding="stage2"), layout_of(made(sharding="stage2"), 2)) == []
    assert unused_axes(made(), Layout()) == []
