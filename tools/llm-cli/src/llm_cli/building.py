"""Folders under temporary names while they are filled, and names that last once they are given."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_cli.claims import claimed
from llm_cli.completeness import sha256
from llm_cli.folder_files import BEING_WRITTEN, FolderFiles
from llm_cli.leftovers import beside


@contextmanager
def temporary_folder(place: Path) -> Iterator[tuple[Path, FolderFiles]]:
    """A claimed folder beside ``place``, and what is known of its files; an error removes it.

    The caller moves it, or what it holds, before the block ends.
    """
    temporary = beside(place)
    temporary.mkdir()
    claim = claimed(temporary)
    files = BEING_WRITTEN[temporary] = FolderFiles()
    try:
        yield temporary, files
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        del BEING_WRITTEN[temporary]
        files.close()
        if claim is not None:
            os.close(claim)


def sync_folder(folder: Path) -> None:
    """Make a rename last; some file systems do not let a folder be opened, and need no sync."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def synced(file: Path) -> str:
    """The hash of a file that something else wrote, which is on disk afterwards."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    return sha256(file)
