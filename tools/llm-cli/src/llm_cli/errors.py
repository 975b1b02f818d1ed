"""Errors that are meant for the user, and the one place where an exception becomes a sentence.

An exception is for the user when its class carries ``exit_code``: its text is then shown as it
is, without a traceback. Packages that may not import this one only need that attribute.
"""

from __future__ import annotations

import errno
import os
import re

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


class UserError(ValueError):
    """A mistake the user can mend. The text says value, limit, cause and what to do next."""

    exit_code = 2


def sentence(error: BaseException) -> str | None:
    """What to tell the user about ``error``; ``None`` when it is our own mistake."""
    if getattr(error, "exit_code", None) is not None:
        return str(error)
    if isinstance(error, OSError):
        return _operating_system(error)
    if isinstance(error, MemoryError):
        cause = str(error) or "an allocation was refused"
        return f"Not enough memory: {cause}. Use a smaller batch or model."
    return None


def _operating_system(error: OSError) -> str | None:
    if error.errno is None:
        return None
    place, unfinished = _place(error.filename)
    where = f" {place}" if place else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(_place(error.filename2)[0] or place)
    if error.errno == errno.ENOENT and unfinished:
        return (
            f"The output{where} cannot be made: its folder takes no new files. Name another place."
        )
    if error.errno == errno.ENOENT:
        return f"There is no file or folder{where}. Check the path."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Not allowed to open{where}: {error.strerror}. Check its owner and permissions."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"There is a file where a folder is needed:{where}. Name another folder."
    if error.errno == errno.EISDIR:
        return f"There is a folder where a file is needed:{where}. Name a file."
    return f"The system refused{where}: {error.strerror} (error {error.errno})."


def _place(filename: object) -> tuple[str, bool]:
    """The path that an error names, and whether it was that of an output being written.

    Such outputs have temporary names (see :mod:`llm_cli.outputs`), which say nothing to the user.
    """
    if not isinstance(filename, str | bytes | os.PathLike):
        return "", False
    from pathlib import Path  # only where something failed: commands start sooner without

    parts = Path(os.fsdecode(filename)).parts
    found = [_TEMPORARY.fullmatch(part) for part in parts]
    named = [match[1] if match else part for match, part in zip(found, parts, strict=True)]
    return str(Path(*named)), any(found)


def _full(place: str) -> str:
    free = ""
    if place:
        from pathlib import Path

        folder = next(folder for folder in Path(place).absolute().parents if folder.is_dir())
        status = os.statvfs(folder)
        free = f"; {_size(status.f_bavail * status.f_frsize)} are free there now"
    return (
        f"The disk is full while writing {place or 'an output'}{free}. What was there before is "
        "untouched. Free some space or choose an output on another disk, then run it again."
    )


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.1f} KB"
