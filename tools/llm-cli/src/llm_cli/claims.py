"""A lock on what is being written tells a living writer from a killed one, whose lock has gone."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_UNCLAIMED_S = 60
"""Seconds that an empty folder or file is spared for, not yet claimed by its writer perhaps."""


def claimed(path: Path, flags: int = os.O_RDONLY) -> int | None:
    """A descriptor that locks a folder or file for its writer while that lives.

    None where another has it, it is gone or another user's, or the file system has no locks.
    """
    try:
        claim = os.open(path, flags)
    except (FileNotFoundError, PermissionError):
        return None
    if lock(claim):
        return claim
    os.close(claim)
    return None


def lock(handle: int) -> bool:
    """Lock an open folder or file until it is closed, at the latest when the process ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_new(path: Path) -> bool:
    """Whether a folder or file was made so lately that its writer may be about to claim it."""
    status = path.stat()
    empty = not any(path.iterdir()) if path.is_dir() else not status.st_size
    return empty and time.time() - status.st_mtime < _UNCLAIMED_S
