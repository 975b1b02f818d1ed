"""Runs bare `llm train CONFIG`."""

from __future__ import annotations

from llm_train.pretrain.options import PretrainOptions
from llm_train.sft.options import SftOptions
from llm_train.stage.options import StageOptions


def run_stage(options: StageOptions) -> None:
    """Run the stage that the options name."""
    chosen = options.of_stage()
    if isinstance(chosen, PretrainOptions):
        from llm_train.pretrain.run import pretrain

        pretrain(chosen)
    else:
        from llm_train.sft.run import sft

        assert isinstance(chosen, SftOptions)
        sft(chosen)
