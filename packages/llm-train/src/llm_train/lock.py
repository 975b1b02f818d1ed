"""One run at a time in an output folder, also across machines that share it by NFS.

    with held(output_dir): ...        # RecipeError at once where another run is in there

The lock is the kernel's, so a killed run leaves none. It belongs to the open file, which forked
children share: they close it at once, as a data worker may outlive a run that is killed. Nothing
else here knows of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from llm_train.errors import RecipeError

LOCK_FILE = ".running"
"""Name of the locked file in the output folder; it is removed when the run ends."""


_descriptors: set[int] = set()
"""Of the locks that this process holds."""


def _close_in_child() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def held(output_dir: Path) -> Iterator[None]:
    """Hold `output_dir`, which is made where absent. Raises RecipeError where another run does."""
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / LOCK_FILE
    descriptor = _locked(path)
    _descriptors.add(descriptor)
    try:
        yield
    finally:
        _descriptors.discard(descriptor)
        # Removed while still locked: who opened it meanwhile sees that it is not the file any more.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def refuse_held(output_dir: Path) -> None:
    """Raise RecipeError where another run is in `output_dir` now; changes nothing."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(output_dir / LOCK_FILE, os.O_RDWR)
        try:
            # Shared, as all processes of a run look at the same time.
            _lock(descriptor, output_dir, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, path.parent, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, output_dir: Path, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = (
            f"Another run is writing {output_dir}. Wait for it or stop it first, or choose another "
            "--output_dir."
        )
        raise RecipeError(message) from error
