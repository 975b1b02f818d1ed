"""Two names of a folder change places at once, where the system can do that.

Two renames, one after the other, leave a moment in which nothing stands at the place; a process
that is killed then leaves only hidden names. Linux exchanges both names in one step.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_HERE = -100
_EXCHANGE = 2
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


def exchanged(one: Path, other: Path) -> bool:
    """Let two existing paths of one file system change places; False where that cannot be done.

    Nothing has changed then. Raises :class:`OSError` when it can be done and fails.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))
