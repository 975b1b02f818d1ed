"""What killed writers have left beside the files and folders that they were writing."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
from contextlib import suppress
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from llm_cli.claims import claimed, is_new
from llm_cli.completeness import is_complete, verify_complete
from llm_cli.folder_files import BEING_WRITTEN

logger = logging.getLogger(__name__)
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
"""What a system says of a folder that cannot be renamed to a place with something in it."""
_NAME = re.compile(r"\.(.+)\.[0-9a-f]+\.tmp")


def beside(path: Path) -> Path:
    """A new temporary name beside ``path``."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def clear_leftovers(folder: str | Path, pattern: str) -> None:
    """Remove what killed writers of ``folder``'s sub-folders called ``pattern`` have left there.

    A whole one, by the hashes of its marker, whose place is empty takes it instead: its writer was
    killed just before that. What a living process is writing stays.
    """
    found = []
    for path in Path(folder).glob(".*.tmp"):
        name = _NAME.fullmatch(path.name)
        if name and fnmatchcase(name[1], pattern) and path not in BEING_WRITTEN:
            # Another process may clear the same.
            with suppress(FileNotFoundError):
                if path.is_symlink():
                    remove(path)
                elif path.is_dir() and not is_new(path):
                    order = (is_complete(path), path.stat().st_mtime_ns)
                    found.append((*order, path, path.parent / name[1]))
    for *_, path, place in sorted(found, reverse=True):
        claim = claimed(path)
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
        if whole and took(path, place):
            logger.warning("%s was left whole by an interrupted run; it is %s now.", path, place)
        else:
            logger.warning("%s was left by an interrupted run and is removed.", path)
            remove(path)


def clear_files(path: Path) -> None:
    """Remove what killed writers of the file ``path`` have left beside it."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        name = _NAME.fullmatch(left.name)
        if not name or name[1] != path.name or left.is_symlink() or not left.is_file():
            continue
        # Network file systems lock only what is open for writing.
        claim = claimed(left, os.O_RDWR)
        if claim is None:
            continue
        try:
            if not is_new(left):
                left.unlink()
                logger.warning("%s was left by an interrupted run and is removed.", left)
        except FileNotFoundError:
            pass  # Its writer has just ended, or another has cleared it.
        finally:
            os.close(claim)


def took(temporary: Path, path: Path) -> bool:
    """Put a folder into its place if that is free, or an empty folder; whether it was."""
    try:
        temporary.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def remove(path: Path) -> None:
    """Remove a folder; of a link only itself, for what it leads to is somebody's."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
