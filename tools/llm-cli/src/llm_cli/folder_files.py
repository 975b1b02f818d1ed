"""The files of a folder that is being written: hashed on the way, synced behind the writer.

Reading a large output again for its hash, and waiting for the disk after each of its files, costs
more than writing it. While the next piece is made, one thread hashes the last one and another
writes it; a third only waits for the disk. What was written past `HashedFile` (moved in, copied,
changed later) has no digest here, and is read again by whoever wants one.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Smaller writes are done where they are made: handing them over would take longer.
_SHARED_BYTES = 1 << 18
SHARED_WRITES = 4
"""How many writes later the data of `write_shared` may change."""
_Identity = tuple[int, int, int]


class HashedFile(io.BufferedWriter):
    """A file to write from its beginning to its end; `write_shared` returns before it is done."""

    def __init__(self, path: Path, hashing: Executor, writing: Executor) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._hashing = hashing
        self._writing = writing
        self._hash = hashlib.sha256()
        self._hashed: int | None = 0
        self._pending: deque[tuple[Future[Any], ...]] = deque()

    def write(self, data: Buffer, /) -> int:
        """Write and hash; `data` may be changed afterwards."""
        self._wait()
        self._update(data)
        return super().write(data)

    def write_shared(self, data: Buffer) -> None:
        """Write `data`, which must not change before SHARED_WRITES more return, or the close.

        Raises OSError where this write or an earlier one failed.
        """
        if memoryview(data).nbytes < _SHARED_BYTES:
            self.write(data)
            return
        hashed = self._hashing.submit(self._update, data)
        self._pending.append((hashed, self._writing.submit(super().write, data)))
        # The thread that makes the data may run ahead, so that a pause of one stops none.
        if len(self._pending) > SHARED_WRITES:
            _wait_for(self._pending.popleft())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; what was hashed is not the file any more."""
        self._wait()
        self._hashed = None
        return super().seek(offset, whence)

    def tell(self) -> int:
        """Where the next byte goes."""
        self._wait()
        return super().tell()

    def close(self) -> None:
        """Finish what is being written and close; a failed write raises OSError here."""
        if self.closed:
            return
        try:
            self._wait()
        finally:
            super().close()

    def digest(self) -> str | None:
        """SHA-256 of the file, hexadecimal; None where not all of it passed `write`."""
        self._wait()
        self.flush()
        size = os.fstat(self.fileno()).st_size
        return self._hash.hexdigest() if self._hashed == size else None

    def _update(self, data: Buffer) -> None:
        self._hash.update(data)
        if self._hashed is not None:
            self._hashed += memoryview(data).nbytes

    def _wait(self) -> None:
        pending = [future for futures in self._pending for future in futures]
        self._pending.clear()
        _wait_for(pending)


class _Written(NamedTuple):
    digest: str
    identity: _Identity


class FolderFiles:
    """What is known of the files of one folder; close it when the folder is done or given up."""

    def __init__(self) -> None:
        self._hashing = ThreadPoolExecutor(1, "hash")
        self._writing = ThreadPoolExecutor(1, "write")
        self._syncing = ThreadPoolExecutor(1, "sync")
        self._process = os.getpid()
        self._written: dict[Path, _Written] = {}
        self._syncs: list[Future[None]] = []

    @property
    def ours(self) -> bool:
        """Whether this process made it: a forked child has none of its threads."""
        return self._process == os.getpid()

    def open(self, path: Path) -> HashedFile:
        """A new file of the folder, under a temporary name or its own."""
        return HashedFile(path, self._hashing, self._writing)

    def finish(self, stream: HashedFile, path: Path) -> None:
        """Note the digest of a written file whose name will be `path`, and begin to sync it."""
        digest = stream.digest()
        if digest is not None:
            self._written[path] = _Written(digest, _identity(os.fstat(stream.fileno())))
        self._syncs.append(self._syncing.submit(_sync, os.dup(stream.fileno())))

    def digest(self, path: Path) -> str | None:
        """The digest of a file that is still what was written; None where that is not known."""
        written = self._written.get(path)
        unchanged = written is not None and written.identity == _identity(path.stat())
        return written.digest if written is not None and unchanged else None

    def on_disk(self) -> None:
        """Wait until all finished files are on disk; raises OSError where one is not."""
        for sync in self._syncs:
            sync.result()

    def close(self) -> None:
        """End the threads."""
        for pool in (self._hashing, self._writing, self._syncing):
            pool.shutdown()


def write_shared(stream: BinaryIO, data: Buffer) -> None:
    """Write `data`, which must not change before SHARED_WRITES more return, or the close.

    For files of `written_folder` that saves time; any other stream writes it as always.
    """
    if isinstance(stream, HashedFile):
        stream.write_shared(data)
    else:
        stream.write(data)


def _wait_for(pending: Sequence[Future[Any]]) -> None:
    """Wait for all of them; the first error is raised when none is running any more."""
    wait(pending)
    for future in pending:
        future.result()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
