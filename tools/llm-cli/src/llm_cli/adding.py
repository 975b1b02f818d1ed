"""Files that come into a folder that is somebody's already, all of them or none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_cli.building import sync_folder, synced, temporary_folder
from llm_cli.completeness import COMPLETE, marked_files
from llm_cli.folder_files import FolderFiles
from llm_cli.leftovers import clear_leftovers
from llm_cli.outputs import written_file

_NAME = "added"


@contextmanager
def added_files(folder: str | Path, *, last: str) -> Iterator[Path]:
    """A folder to fill, whose files stand in ``folder`` once the block has ended without an error.

    They take the places of files of the same names there. Those that the pattern ``last`` matches
    come when all others are on disk: without them, nobody may take the others for anything, so that
    a killed process leaves a folder that is still what it was, and can be run again. A marker of
    ``folder`` lists the new files too. Raises :class:`OSError`; new files are gone again then.
    """
    folder = Path(folder)
    clear_leftovers(folder, _NAME)
    with temporary_folder(folder / _NAME) as (temporary, files):
        yield temporary
        files.on_disk()
        found = sorted(temporary.iterdir(), key=lambda file: (file.match(last), file.name))
        first = [file for file in found if not file.match(last)]
        entries = {file.name: _entry(file, files) for file in found}
        _move(first, folder)
        _list(folder, {file.name: entries[file.name] for file in first})
        _move(found[len(first) :], folder)
        _list(folder, entries)
        shutil.rmtree(temporary)


def _move(files: list[Path], folder: Path) -> None:
    """Move files into a folder; all are there for good afterwards, or the new ones are not."""
    new = []
    try:
        for file in files:
            place = folder / file.name
            if not place.exists():
                new.append(place)
            file.rename(place)
    except BaseException:
        for place in new:
            place.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def _entry(file: Path, files: FolderFiles) -> dict[str, Any]:
    return {"size": file.stat().st_size, "sha256": files.digest(file) or synced(file)}


def _list(folder: Path, entries: Mapping[str, Any]) -> None:
    """Put files into the marker of a folder that has one."""
    before = marked_files(folder)
    if before is not None:
        with written_file(folder / COMPLETE) as stream:
            stream.write(json.dumps({"files": {**before, **entries}}, indent=1).encode() + b"\n")
