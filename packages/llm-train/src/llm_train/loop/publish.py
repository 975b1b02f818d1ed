"""The finished model's way into the output folder; a kill at any moment loses nothing.

The model is first whole in `.finished`, with its own COMPLETE. Then the files of the model before
go, then these move in, COMPLETE last. While `.finished` is there, `finish_publishing` goes on.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_cli.outputs import COMPLETE, clear_leftovers
from llm_train.loop.data import ModelFiles
from llm_train.loop.together import written_by_all
from llm_train.parallel.collectives import wait_for_all
from llm_train.parallel.groups import Parallel

logger = logging.getLogger(__name__)
STAGED = ".finished"


def publish(
    output_dir: Path,
    files: ModelFiles,
    origin: Mapping[str, Any],
    parallel: Parallel | None = None,
) -> None:
    """Put the finished model's files into output_dir itself, its COMPLETE marker last.

    All processes call it; the leading one moves.
    """
    with written_by_all(output_dir / STAGED, origin, parallel) as folder:
        files.save(folder)
    if parallel is None or parallel.leads:
        _move_in(output_dir)
    wait_for_all(parallel)


def finish_publishing(output_dir: Path) -> None:
    """Finish what a killed `publish` began; remove what it had not finished writing."""
    clear_leftovers(output_dir, STAGED)
    if (output_dir / STAGED).is_dir():
        logger.warning("The finished model in %s was not moved in yet; it is now.", output_dir)
        _move_in(output_dir)


def _move_in(output_dir: Path) -> None:
    staged = output_dir / STAGED
    # COMPLETE moves last: where it is gone from `.finished`, everything has moved.
    if (staged / COMPLETE).exists():
        new = _listed(staged)
        for name in sorted(_listed(output_dir) - new):
            (output_dir / name).unlink(missing_ok=True)
        (output_dir / COMPLETE).unlink(missing_ok=True)
        for name in [*sorted(new), COMPLETE]:
            if (staged / name).exists():
                (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).replace(output_dir / name)
    shutil.rmtree(staged)


def _listed(folder: Path) -> set[str]:
    """Names of the files that the folder's marker lists; none without a marker that can be read."""
    try:
        content = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        return set(content["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
