"""The output folder of a run: what is there when it starts, and which checkpoint goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_cli.lineage import LINEAGE_FILE
from llm_cli.outputs import COMPLETE
from llm_train.errors import RecipeError, ResumeError
from llm_train.loop.checkpoints import Checkpoints, read_run, step_of
from llm_train.loop.identity import check_same_run
from llm_train.loop.publish import finish_publishing
from llm_train.places import refuse_finished
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def prepare_folder(
    options: TrainingOptions, checkpoints: Checkpoints, identity: Mapping[str, Any], steps: int
) -> Path | None:
    """The checkpoint to resume from; None for a fresh start in a folder made ready for it.

    What an interrupted run left half done is finished or removed first; checkpoints beyond the one
    that goes on are set aside. `steps`: the last step of the run. Raises ResumeError for a
    checkpoint that cannot be used, RecipeError for a finished model.
    """
    folder = checkpoints.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.clear_leftovers()
    finish_publishing(folder)
    if not options.overwrite_output_dir:
        refuse_finished(folder)
    resume = _chosen(options, checkpoints)
    if resume is None:
        if options.overwrite_output_dir:
            checkpoints.clear()
        else:
            _refuse_strangers(folder)
        return None
    check_same_run(resume, read_run(resume), identity)
    if step_of(resume) > steps:
        message = (
            f"{resume} is {step_of(resume) - steps} steps beyond this run's {steps}. Raise "
            "--max_steps (or --num_train_epochs), or name an earlier --resume_from_checkpoint."
        )
        raise ResumeError(message)
    checkpoints.set_aside_after(resume)
    logger.info("Going on at %s.", resume)
    return resume


def _chosen(options: TrainingOptions, checkpoints: Checkpoints) -> Path | None:
    named = options.resume_from_checkpoint
    wish = named.lower() if named else "false"
    if named and wish not in ("true", "false"):
        problem = checkpoints.problem(Path(named))
        if problem is not None:
            message = f"{problem}. Name another --resume_from_checkpoint."
            raise ResumeError(message)
        return Path(named)
    if options.overwrite_output_dir and wish == "false":
        return None
    newest = checkpoints.newest()
    if newest is None and wish == "true":
        message = (
            f"{checkpoints.output_dir} holds no complete checkpoint to resume from. Start "
            "without --resume_from_checkpoint."
        )
        raise ResumeError(message)
    return newest


def _refuse_strangers(folder: Path) -> None:
    ours = (folder / LINEAGE_FILE).exists() or (folder / COMPLETE).exists()
    if (folder / "config.json").exists() and not ours:
        message = (
            f"{folder} holds a model that this toolchain did not write, and its files would be "
            "replaced. Choose another --output_dir, or set --overwrite_output_dir true."
        )
        raise RecipeError(message)
