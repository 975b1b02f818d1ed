"""Checkpoints of a run: complete or absent, the newest good one found, none removed too early.

`output_dir/checkpoint-STEP` is a whole model folder plus `optimizer.safetensors`,
`trainer_state.json` (PaddleNLP's) and `run.json`, with the COMPLETE marker of `llm_cli.outputs`.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm_cli.outputs import is_complete, verify_complete, written_folder
from llm_train.errors import ResumeError

logger = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint-(\d+)")
RUN_FILE = "run.json"


def step_of(folder: Path) -> int:
    """The step of a checkpoint folder. Raises ResumeError for another name."""
    match = _NAME.fullmatch(folder.name)
    if match is None:
        message = f"{folder} is no checkpoint folder; one is called checkpoint-STEP."
        raise ResumeError(message)
    return int(match[1])


class Checkpoints:
    """The checkpoints under one output folder; `limit` is save_total_limit."""

    def __init__(self, output_dir: Path, limit: int | None = None) -> None:
        self.output_dir = output_dir
        self.limit = limit
        self.best: int | None = None

    def all(self) -> list[Path]:
        """Every checkpoint folder, oldest step first, complete or not."""
        found = (path for path in self.output_dir.glob("checkpoint-*") if path.is_dir())
        return sorted((path for path in found if _NAME.fullmatch(path.name)), key=step_of)

    def newest(self) -> Path | None:
        """The newest checkpoint whose files are what its marker says; None where there is none.

        Half-written and damaged ones are passed over, each with a line in the log.
        """
        for folder in reversed(self.all()):
            problem = self.problem(folder)
            if problem is None:
                return folder
            logger.warning("%s; it is passed over.", problem)
        return None

    def problem(self, folder: Path) -> str | None:
        """Why a checkpoint cannot be resumed; None where it can."""
        if not is_complete(folder):
            return f"{folder} is not complete (its writing was interrupted)"
        damaged = verify_complete(folder)
        return f"{folder} is damaged ({', '.join(damaged)})" if damaged else None

    def save(
        self,
        step: int,
        write: Callable[[Path], None],
        lineage: Mapping[str, Any],
        run: Mapping[str, Any],
    ) -> Path:
        """Write checkpoint `step`, then remove the oldest beyond the limit.

        An error while writing leaves every earlier checkpoint as it was, and nothing of this one.
        """
        folder = self.output_dir / f"checkpoint-{step}"
        with written_folder(folder, lineage, overwrite=True) as place:
            write(place)
            (place / RUN_FILE).write_text(json.dumps(dict(run), indent=1) + "\n", encoding="utf-8")
        self._rotate(folder)
        return folder

    def clear(self) -> None:
        """Remove every checkpoint and what interrupted writing left."""
        for folder in self.all():
            shutil.rmtree(folder)
        self.clear_leftovers()

    def clear_leftovers(self) -> None:
        """Remove temporary folders of checkpoints whose writing was killed."""
        for folder in self.output_dir.glob(".checkpoint-*.tmp"):
            logger.warning("%s was left by an interrupted run and is removed.", folder)
            shutil.rmtree(folder)

    def _rotate(self, written: Path) -> None:
        if not self.limit or self.limit < 0:
            return
        spared = {written, self.output_dir / f"checkpoint-{self.best}"}
        complete = [folder for folder in self.all() if is_complete(folder)]
        room = max(self.limit - len(spared & set(complete)), 0)
        others = [folder for folder in complete if folder not in spared]
        for folder in others[: len(others) - room]:
            logger.info("%s is removed (save_total_limit %d).", folder, self.limit)
            shutil.rmtree(folder)
