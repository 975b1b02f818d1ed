"""Where a run begins: fresh, or at a checkpoint. The leading process looks, all are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle import nn

from llm_train.errors import ResumeError
from llm_train.loop.checkpoints import Checkpoints, read_run, step_of
from llm_train.loop.data import TrainingData
from llm_train.loop.folder import prepare_folder
from llm_train.loop.identity import run_identity
from llm_train.loop.plan import Plan
from llm_train.loop.precision import Precision
from llm_train.parallel.collectives import shared_object
from llm_train.parallel.groups import Parallel
from llm_train.training_options import TrainingOptions


@dataclass(frozen=True)
class Beginning:
    """The checkpoint to resume, None for a fresh start; what its run.json says; the identity."""

    resume: Path | None
    before: Mapping[str, Any]
    identity: Mapping[str, Any]

    @property
    def start(self) -> int:
        """The step at which the run begins."""
        return step_of(self.resume) if self.resume else 0


def begin(
    model: nn.Layer,
    options: TrainingOptions,
    data: TrainingData,
    checkpoints: Checkpoints,
    plan: Plan,
    parallel: Parallel | None,
    precision: Precision,
) -> Beginning:
    """Make the folder ready and find the checkpoint that goes on; all processes call it.

    Raises as `prepare_folder` does, on the leading process.
    """
    identity = run_identity(model, options, data, plan.batch, parallel, precision)
    resume: Path | None = None
    if checkpoints.leads:
        resume = prepare_folder(options, checkpoints, identity, plan.steps)
        if resume is not None and options.load_best_model_at_end:
            noted = read_run(resume).get("best_folder")
            checkpoints.best = _best_before(checkpoints, resume, noted)
    resume, checkpoints.best = shared_object((resume, checkpoints.best), parallel)
    return Beginning(resume, read_run(resume) if resume else {}, identity)


def _best_before(checkpoints: Checkpoints, resume: Path, noted: str | None) -> Path | None:
    """The checkpoint that evaluated best so far; beside `resume` where the run was moved."""
    if noted is None:
        return None
    places = (Path(noted), resume.parent / Path(noted).name)
    for place in places:
        if checkpoints.problem(place) is None:
            return place
    message = (
        f"{resume} says that {noted} evaluated best so far, but there is no whole checkpoint "
        f"there or at {places[1]}. Put it back, or set --load_best_model_at_end false."
    )
    raise ResumeError(message)
