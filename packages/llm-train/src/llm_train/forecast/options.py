"""Options of `llm train plan`: those of the run."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import option
from llm_train.stage.options import StageOptions


@dataclass(kw_only=True)
class PlanOptions(StageOptions):
    """Say what a run will need: memory of each process, tokens a second, disk.

    The arguments are those of the run. Where it does not fit, a change of options that does is
    proposed, and the command ends with 1.
    """

    memory_gb: float | None = option(
        None, help="Memory of this machine that the run may use; default: what is free.",
        group="Plan",
    )  # fmt: skip
