"""Files and folders that appear whole or not at all.

A file is written under a temporary name beside its place, flushed to disk and renamed. A folder is
built beside its place; ``llm.json`` (see :mod:`llm_cli.lineage`) and then ``COMPLETE``, with the
size and SHA-256 of every file, are written last, and the folder is renamed. Whatever stood there
before stays until the new one is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, cast

from llm_cli.building import sync_folder, synced, temporary_folder
from llm_cli.claims import lock
from llm_cli.completeness import COMPLETE, is_complete, marked_files, verify_complete
from llm_cli.errors import UserError
from llm_cli.folder_files import BEING_WRITTEN, folder_of
from llm_cli.leftovers import beside, clear_files, clear_leftovers
from llm_cli.lineage import LINEAGE_FILE, lineage
from llm_cli.swapping import swap

__all__ = [
    "COMPLETE",
    "check_output_folder",
    "clear_leftovers",
    "is_complete",
    "lineage",
    "mark_complete",
    "verify_complete",
    "written_file",
    "written_folder",
]


@contextmanager
def written_file(path: str | Path, *, streamed: bool = False) -> Iterator[BinaryIO]:
    """A binary stream whose content is at ``path`` once the block has ended without an error.

    What killed writers of ``path`` left beside it is removed; that of living ones stays.
    In a folder of :func:`written_folder` it is hashed on the way and is on disk when that ends.
    ``streamed`` is for large files that are written from beginning to end: there, threads of their
    own hash and write them, and nothing but ``write`` and
    :func:`llm_cli.folder_files.write_shared` is possible.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = folder_of(path)
    temporary = beside(path)
    if files is None:
        clear_files(path)
    try:
        if files is None:
            with temporary.open("wb") as stream:
                lock(stream.fileno())
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                temporary.replace(path)  # while it is claimed
        else:
            with files.open(temporary, streamed=streamed) as watched:
                yield cast(BinaryIO, watched)
                files.finish(watched, path)
            temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(temporary)  # of writes it is not known
        temporary.unlink(missing_ok=True)
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if files is None:
        sync_folder(path.parent)


@contextmanager
def written_folder(
    path: str | Path, lineage: Mapping[str, Any], *, overwrite: bool = False
) -> Iterator[Path]:
    """A folder to fill; it stands at ``path`` once the block has ended without an error.

    Where ``path`` is a link, what it leads to is written, on the disk that it leads to. Raises
    :class:`UserError` when ``path`` already holds files and ``overwrite`` is false, also those that
    another run has put there meanwhile, or when ``overwrite`` is true and the files are not an
    earlier output of this toolchain, or are among the inputs that ``lineage`` names.
    """
    named, path = Path(path), _place(Path(path))
    inputs = [entry["path"] for entry in lineage.get("inputs", {}).values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path.parent, escape(path.name))
    check_output_folder(named, overwrite=overwrite, inputs=inputs)
    with temporary_folder(path) as (temporary, files):
        yield temporary
        with written_file(temporary / LINEAGE_FILE) as stream:
            text = json.dumps(dict(lineage), indent=2, default=str) + "\n"
            stream.write(text.encode("utf-8"))
        mark_complete(temporary)
        files.on_disk()
        sync_folder(temporary)
        swap(temporary, path, overwrite=overwrite)
    sync_folder(path.parent)


def mark_complete(folder: str | Path) -> None:
    """Write ``COMPLETE`` with the size and hash of every file that ``folder`` holds.

    The files and their names are on disk before the marker is begun.
    """
    folder = Path(folder)
    known = BEING_WRITTEN.get(folder)
    found = sorted(folder.rglob("*"))
    files = {
        str(file.relative_to(folder)): {
            "size": file.stat().st_size,
            "sha256": (known.digest(file) if known else None) or synced(file),
        }
        for file in found
        if file.is_file() and file.name != COMPLETE
    }
    if known is not None:
        known.on_disk()  # One wait for all: they were on their way meanwhile.
    for inner in (*(path for path in found if path.is_dir()), folder):
        sync_folder(inner)
    with written_file(folder / COMPLETE) as stream:
        stream.write(json.dumps({"files": files}, indent=1).encode() + b"\n")


def check_output_folder(
    path: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse a folder that :func:`written_folder` would refuse, before hours of work go into it.

    ``inputs``: files and folders that are read; they may not be replaced. Raises
    :class:`UserError`.
    """
    path = Path(path)
    if path.is_file():
        message = f"The output {path} is a file; name a folder."
        raise UserError(message)
    if not path.is_dir() or not any(path.iterdir()):
        return
    for source in inputs:
        if Path(source).resolve().is_relative_to(path.resolve()):
            message = (
                f"The output folder {path} is or holds the input {source}, which would be lost. "
                "Choose another output folder."
            )
            raise UserError(message)
    if not overwrite:
        message = f"The output folder {path} is not empty. Choose another, or remove it first."
        raise UserError(message)
    strangers = _strangers(path)
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        message = (
            f"The output folder {path} holds files that this toolchain did not write "
            f"({', '.join(strangers[:3])}{more}), and they would be lost. Move them, or choose "
            "another folder."
        )
        raise UserError(message)


def _strangers(folder: Path) -> list[str]:
    """What of a folder no marker lists; of a folder of ours without one nothing is known."""
    listed = marked_files(folder)
    if listed is None and (folder / LINEAGE_FILE).is_file():
        return []
    known = {*(listed or ()), COMPLETE}
    found = (str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())
    return sorted(name for name in found if name not in known)


def _place(path: Path) -> Path:
    """Where an output called ``path`` is written: where its link leads, if it is one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path
