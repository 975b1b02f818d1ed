"""Errors that are meant for the user, and the one place where an exception becomes a sentence.

An exception is for the user when its class carries ``exit_code``: its text is then shown as it
is, without a traceback. Packages that may not import this one only need that attribute.
"""

from __future__ import annotations

import errno


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
    where = f" {error.filename}" if error.filename else ""
    if error.errno == errno.ENOENT:
        return f"There is no file or folder{where}. Check the path."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full while writing{where or ' an output'}; what was there before is "
            "untouched. Free some space or choose an output on another disk, then run it again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Not allowed to open{where}: {error.strerror}. Check its owner and permissions."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"There is a file where a folder is needed:{where}. Name another folder."
    if error.errno == errno.EISDIR:
        return f"There is a folder where a file is needed:{where}. Name a file."
    return f"The system refused{where}: {error.strerror} (error {error.errno})."
