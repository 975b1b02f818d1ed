"""The output folder of a run: what is there when it starts, and what it ends with."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_cli.outputs import COMPLETE, written_folder
from llm_train.errors import RecipeError, ResumeError
from llm_train.loop.checkpoints import RUN_FILE, Checkpoints
from llm_train.loop.data import ModelFiles
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def prepare_folder(
    options: TrainingOptions, checkpoints: Checkpoints, identity: Mapping[str, Any]
) -> Path | None:
    """The checkpoint to resume from; None for a fresh start in a folder made ready for it.

    Raises ResumeError for a checkpoint that cannot be used, RecipeError for a finished model.
    """
    folder = checkpoints.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.clear_leftovers()
    named = options.resume_from_checkpoint
    if named and named.lower() not in ("true", "false"):
        resume: Path | None = Path(named)
        problem = checkpoints.problem(Path(named))
        if problem is not None:
            message = f"{problem}. Name another --resume_from_checkpoint."
            raise ResumeError(message)
    elif options.overwrite_output_dir and not named:
        checkpoints.clear()
        return None
    else:
        resume = checkpoints.newest()
        if resume is None and named and named.lower() == "true":
            message = f"{folder} holds no complete checkpoint to resume from. Start without it."
            raise ResumeError(message)
    if resume is None:
        _refuse_finished(folder)
        return None
    _same_run(resume, identity)
    logger.info("Going on at %s.", resume)
    return resume


def _refuse_finished(folder: Path) -> None:
    if (folder / COMPLETE).exists() or (folder / "config.json").exists():
        message = (
            f"{folder} holds a finished model. Choose another --output_dir, or set "
            "--overwrite_output_dir true."
        )
        raise RecipeError(message)


def _same_run(resume: Path, identity: Mapping[str, Any]) -> None:
    written = json.loads((resume / RUN_FILE).read_text(encoding="utf-8"))
    for name, value in identity.items():
        if written.get(name) != value:
            message = (
                f"{resume} was written with {name} {written.get(name)}, this run has {value}: it "
                "would not read the same samples. Use the same data and options, or start anew "
                "with --overwrite_output_dir true."
            )
            raise ResumeError(message)


def publish(output_dir: Path, files: ModelFiles, origin: Mapping[str, Any]) -> None:
    """Put the finished model's files into output_dir itself, its COMPLETE marker last."""
    staged = output_dir / ".finished"
    with written_folder(staged, origin, overwrite=True) as folder:
        files.save(folder)
    (output_dir / COMPLETE).unlink(missing_ok=True)
    for file in sorted(staged.iterdir(), key=lambda path: path.name == COMPLETE):
        file.replace(output_dir / file.name)
    staged.rmdir()
