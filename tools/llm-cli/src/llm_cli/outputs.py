"""Files and folders that appear whole or not at all.

A file is written under a temporary name beside its place, flushed to disk and renamed. A folder is
built beside its place; ``llm.json`` (see :mod:`llm_cli.lineage`) and then ``COMPLETE``, with the
size and SHA-256 of every file, are written last, and the folder is renamed. Whatever stood there
before stays until the new one is whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, cast

from llm_cli.errors import UserError
from llm_cli.exchange import exchanged
from llm_cli.folder_files import FolderFiles
from llm_cli.lineage import LINEAGE_FILE, lineage

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

logger = logging.getLogger(__name__)
COMPLETE = "COMPLETE"
"""Name of the marker that is written last."""


_UNCLAIMED_S = 60
"""Seconds that an empty folder or file is spared for, not yet claimed by its writer perhaps."""
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
"""What a system says of a folder that cannot be renamed to a place with something in it."""
_LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]+\.tmp")
_BEING_WRITTEN: dict[Path, FolderFiles] = {}


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
    files = _folder_of(path)
    temporary = _beside(path)
    if files is None:
        _clear_files(path)
    try:
        if files is None:
            with temporary.open("wb") as stream:
                _lock(stream.fileno())
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
        _sync_folder(path.parent)


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
    temporary = _beside(path)
    temporary.mkdir()
    claim = _claimed(temporary)
    files = _BEING_WRITTEN[temporary] = FolderFiles()
    try:
        yield temporary
        with written_file(temporary / LINEAGE_FILE) as stream:
            text = json.dumps(dict(lineage), indent=2, default=str) + "\n"
            stream.write(text.encode("utf-8"))
        mark_complete(temporary)
        files.on_disk()
        _sync_folder(temporary)
        _swap(temporary, path, overwrite=overwrite)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        del _BEING_WRITTEN[temporary]
        files.close()
        if claim is not None:
            os.close(claim)
    _sync_folder(path.parent)


def mark_complete(folder: str | Path) -> None:
    """Write ``COMPLETE`` with the size and hash of every file that ``folder`` holds.

    The files and their names are on disk before the marker is begun.
    """
    folder = Path(folder)
    known = _BEING_WRITTEN.get(folder)
    found = sorted(folder.rglob("*"))
    files = {
        str(file.relative_to(folder)): {
            "size": file.stat().st_size,
            "sha256": (known.digest(file) if known else None) or _synced(file),
        }
        for file in found
        if file.is_file() and file.name != COMPLETE
    }
    if known is not None:
        known.on_disk()  # One wait for all: they were on their way meanwhile.
    for inner in (*(path for path in found if path.is_dir()), folder):
        _sync_folder(inner)
    with written_file(folder / COMPLETE) as stream:
        stream.write(json.dumps({"files": files}, indent=1).encode() + b"\n")


def is_complete(folder: str | Path) -> bool:
    """Whether ``folder`` has its marker and every file has the size that the marker says."""
    folder = Path(folder)
    listed = _listed(folder)
    return listed is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry["size"]
        for name, entry in listed.items()
    )


def verify_complete(folder: str | Path) -> list[str]:
    """Names of the files of ``folder`` that are absent or whose hash is not the marker's."""
    folder = Path(folder)
    listed = _listed(folder)
    if listed is None:
        return [COMPLETE]
    return [
        name
        for name, entry in listed.items()
        if not (folder / name).is_file() or _sha256(folder / name) != entry["sha256"]
    ]


def _listed(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        files = content["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


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
    if not (path / LINEAGE_FILE).is_file() and not (path / COMPLETE).is_file():
        message = (
            f"The output folder {path} holds files that this toolchain did not write, and they "
            "would be lost. Choose another folder, or remove it first."
        )
        raise UserError(message)


def clear_leftovers(folder: str | Path, pattern: str) -> None:
    """Remove what killed writers of ``folder``'s sub-folders called ``pattern`` have left there.

    A whole one, by the hashes of its marker, whose place is empty takes it instead: its writer was
    killed just before that. What a living process is writing stays.
    """
    found = []
    for path in Path(folder).glob(".*.tmp"):
        name = _LEFTOVER.fullmatch(path.name)
        if name and fnmatchcase(name[1], pattern) and path not in _BEING_WRITTEN:
            # Another process may clear the same.
            with suppress(FileNotFoundError):
                if path.is_symlink():
                    _remove(path)
                elif path.is_dir() and not _is_new(path):
                    order = (is_complete(path), path.stat().st_mtime_ns)
                    found.append((*order, path, path.parent / name[1]))
    for *_, path, place in sorted(found, reverse=True):
        claim = _claimed(path)
        if claim is None:
            continue
        try:
            _clear(path, place)
        finally:
            os.close(claim)


def _clear(path: Path, place: Path) -> None:
    """Put a claimed leftover into its empty place, or remove it, unless another has done so."""
    if not path.is_dir():
        return
    with suppress(FileNotFoundError):
        whole = not place.exists() and is_complete(path) and not verify_complete(path)
        if whole and _took(path, place):
            logger.warning("%s was left whole by an interrupted run; it is %s now.", path, place)
        else:
            logger.warning("%s was left by an interrupted run and is removed.", path)
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder; of a link only itself, for what it leads to is somebody's."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def _clear_files(path: Path) -> None:
    """Remove what killed writers of the file ``path`` have left beside it."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        name = _LEFTOVER.fullmatch(left.name)
        if not name or name[1] != path.name or left.is_symlink() or not left.is_file():
            continue
        # Network file systems lock only what is open for writing.
        claim = _claimed(left, os.O_RDWR)
        if claim is None:
            continue
        try:
            if not _is_new(left):
                left.unlink()
                logger.warning("%s was left by an interrupted run and is removed.", left)
        except FileNotFoundError:
            pass  # Its writer has just ended, or another has cleared it.
        finally:
            os.close(claim)


def _is_new(path: Path) -> bool:
    """Whether a folder or file was made so lately that its writer may be about to claim it."""
    status = path.stat()
    empty = not any(path.iterdir()) if path.is_dir() else not status.st_size
    return empty and time.time() - status.st_mtime < _UNCLAIMED_S


def _swap(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Put ``temporary`` in the place of ``path``; the old folder goes only after that.

    Raises :class:`UserError` where the place was empty and is no longer, and was not to be
    overwritten.
    """
    if _took(temporary, path):
        return
    if not overwrite:
        message = (
            f"Another run has written the output {path} meanwhile; it stays, and nothing of this "
            "run does. Choose another output, or give the option that overwrites."
        )
        raise UserError(message)
    # Under a temporary name the old folder would be taken for what a killed writer left.
    claim = _claimed(path)
    try:
        if exchanged(temporary, path):
            old = temporary
        else:
            old = _beside(path)
            path.rename(old)
            try:
                temporary.rename(path)
            except BaseException:
                old.rename(path)
                raise
        with suppress(FileNotFoundError):
            _remove(old)
    finally:
        if claim is not None:
            os.close(claim)


def _took(temporary: Path, path: Path) -> bool:
    """Put a folder into its place if that is free, or an empty folder; whether it was."""
    try:
        temporary.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _claimed(path: Path, flags: int = os.O_RDONLY) -> int | None:
    """A descriptor that locks a folder or file for its writer while that lives.

    None where another has it, it is gone or another user's, or the file system has no locks.
    """
    try:
        claim = os.open(path, flags)
    except (FileNotFoundError, PermissionError):
        return None
    if _lock(claim):
        return claim
    os.close(claim)
    return None


def _lock(handle: int) -> bool:
    """Lock an open folder or file until it is closed, at the latest when the process ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _folder_of(path: Path) -> FolderFiles | None:
    """The folder being written that ``path`` lies in."""
    around = (_BEING_WRITTEN[folder] for folder in path.parents if folder in _BEING_WRITTEN)
    return next((files for files in around if files.ours), None)


def _place(path: Path) -> Path:
    """Where an output called ``path`` is written: where its link leads, if it is one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _synced(file: Path) -> str:
    """The hash of a file that something else wrote, which is on disk afterwards."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    return _sha256(file)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename last; some file systems do not let a folder be opened, and need no sync."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
