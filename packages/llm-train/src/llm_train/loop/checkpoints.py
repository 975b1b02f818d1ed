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

from llm_cli.outputs import COMPLETE, clear_leftovers, is_complete, verify_complete
from llm_train.errors import ResumeError
from llm_train.loop.together import written_by_all
from llm_train.parallel.groups import Parallel

logger = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint-(\d+)")
RUN_FILE = "run.json"
_ASIDE = "abandoned-"


def step_of(folder: Path) -> int:
    """The step of a checkpoint folder. Raises ResumeError for another name."""
    match = _NAME.fullmatch(folder.name)
    if match is None:
        message = f"{folder} is no checkpoint folder; one is called checkpoint-STEP."
        raise ResumeError(message)
    return int(match[1])


def read_run(folder: Path) -> dict[str, Any]:
    """The content of a checkpoint's run.json. Raises ResumeError where it cannot be read."""
    try:
        content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = (
            f"{folder / RUN_FILE} cannot be read ({error}), so {folder} cannot be resumed. Name "
            "another --resume_from_checkpoint."
        )
        raise ResumeError(message) from error
    return dict(content)


class Checkpoints:
    """The checkpoints under one output folder; `limit` is save_total_limit.

    `best` is the folder of the checkpoint that evaluated best; it is never removed.
    """

    def __init__(
        self, output_dir: Path, limit: int | None = None, parallel: Parallel | None = None
    ) -> None:
        self.output_dir = output_dir
        self.limit = limit
        self.parallel = parallel
        self.leads = parallel is None or parallel.leads
        self.best: Path | None = None

    def all(self) -> list[Path]:
        """Every checkpoint folder, oldest step first, complete or not."""
        found = (path for path in self.output_dir.glob("checkpoint-*") if path.is_dir())
        return sorted((path for path in found if _NAME.fullmatch(path.name)), key=step_of)

    def folder(self, step: int) -> Path:
        """Where the checkpoint of `step` is, or will be."""
        return self.output_dir / f"checkpoint-{step}"

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
        if not folder.is_dir():
            return f"There is no folder {folder}"
        if not (folder / COMPLETE).exists():
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
        """Write checkpoint `step`, then remove the oldest beyond the limit; all processes call it.

        An error while writing leaves every earlier checkpoint as it was, and nothing of this one.
        """
        folder = self.folder(step)
        with written_by_all(folder, lineage, self.parallel) as place:
            write(place)
            if self.leads:
                text = json.dumps(dict(run), indent=1) + "\n"
                (place / RUN_FILE).write_text(text, encoding="utf-8")
        if self.leads:
            self._rotate(folder)
        return folder

    def set_aside_after(self, resume: Path) -> None:
        """Rename what an abandoned run wrote beyond `resume`, so that it is never resumed.

        Where `resume` lies elsewhere, all checkpoints here are such.
        """
        elsewhere = resume.resolve().parent != self.output_dir.resolve()
        for folder in self.all():
            if elsewhere or step_of(folder) > step_of(resume):
                place = folder.with_name(_ASIDE + folder.name)
                if place.exists():
                    shutil.rmtree(place)
                folder.rename(place)
                logger.warning(
                    "%s does not belong to the run that goes on at %s; it is now %s.",
                    folder,
                    resume,
                    place.name,
                )

    def clear(self) -> None:
        """Remove every checkpoint, those set aside, and what interrupted writing left."""
        self.clear_leftovers()
        for folder in [*self.all(), *self.output_dir.glob(f"{_ASIDE}checkpoint-*")]:
            shutil.rmtree(folder)

    def clear_leftovers(self) -> None:
        """Remove temporary folders of checkpoints whose writing was killed; a whole one is kept."""
        clear_leftovers(self.output_dir, "checkpoint-*")

    def _rotate(self, written: Path) -> None:
        if not self.limit or self.limit < 0:
            return
        spared = {written.resolve(), self.best.resolve() if self.best else None}
        complete = [folder for folder in self.all() if is_complete(folder)]
        others = [folder for folder in complete if folder.resolve() not in spared]
        room = max(self.limit - (len(complete) - len(others)), 0)
        for folder in others[: max(len(others) - room, 0)]:
            logger.info("%s is removed (save_total_limit %d).", folder, self.limit)
            shutil.rmtree(folder)
