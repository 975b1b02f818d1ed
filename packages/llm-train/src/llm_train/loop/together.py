"""A folder that all processes of a run write into, and that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_cli.outputs import written_folder
from llm_train.parallel.collectives import shared_object, wait_for_all
from llm_train.parallel.groups import Parallel


@contextmanager
def written_by_all(
    path: Path, lineage: Mapping[str, Any], parallel: Parallel | None
) -> Iterator[Path]:
    """The folder to fill, on every process; the leading one completes it when all have written.

    It replaces an earlier output of this toolchain at `path`. All machines must see one file
    system there.
    """
    if parallel is None or parallel.leads:
        with written_folder(path, lineage, overwrite=True) as place:
            shared_object(str(place), parallel)
            yield place
            wait_for_all(parallel)
    else:
        yield Path(shared_object(None, parallel))
        wait_for_all(parallel)
    wait_for_all(parallel)
