"""A large file, written once from its beginning to its end, by threads of its own.

Its bytes go to the disk past the page cache where the system and the file system allow it (Linux,
O_DIRECT). A copy of each byte in the cache would cost more than half of the processor's time of a
conversion, push out what others need, and be written to the disk anyway. Whoever reads the file
next reads it from the disk.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import io
import mmap
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

SHARED_WRITES = 4
"""How many writes later the data of `write_shared` may change."""
BLOCK_BYTES = 4 << 20
"""What is written to the disk at a time: a multiple of every page and sector size."""
PAGE_BYTES = 4096
"""What O_DIRECT asks of memory, of places in the file and of sizes: a multiple of every sector."""
_WORTH_A_WRITE = 1 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)


class StreamedFile(io.RawIOBase):
    """Hashes in one thread, writes in another; the caller only waits when it is far ahead."""

    def __init__(self, path: Path, hashing: Executor, writing: Executor) -> None:
        self._hashing = hashing
        self._writing = writing
        self._hash = hashlib.sha256()
        self._pending: deque[tuple[Future[Any], ...]] = deque()
        self._path = path
        self._handle, self._direct = _opened(path)
        self._block = mmap.mmap(-1, BLOCK_BYTES)  # begins at a page, as O_DIRECT demands
        self._filled = 0

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The descriptor; what is still under way is not in the file yet."""
        return self._handle

    def write(self, data: Buffer, /) -> int:
        """Write and hash; `data` may be changed afterwards."""
        copy = bytes(data)
        self.write_shared(copy)
        return len(copy)

    def write_shared(self, data: Buffer) -> None:
        """Write `data`, which must not change before SHARED_WRITES more return, or the close.

        Raises OSError where an earlier write failed.
        """
        view = memoryview(data).cast("B")
        hashed = self._hashing.submit(self._hash.update, view)
        self._pending.append((hashed, self._writing.submit(self._store, view)))
        # The thread that makes the data may run ahead, so that a pause of one stops none.
        if len(self._pending) > SHARED_WRITES:
            _wait_for(self._pending.popleft())

    def flush(self) -> None:
        """Wait for what is under way; the last bytes stay here until `digest` or the close."""
        pending = [future for futures in self._pending for future in futures]
        self._pending.clear()
        _wait_for(pending)

    def digest(self) -> str:
        """Write the rest; SHA-256 of the file, hexadecimal. Nothing may be written afterwards."""
        self._finish()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Finish and close; a failed write raises OSError here."""
        if self.closed:
            return
        try:
            self._finish()
        finally:
            os.close(self._handle)
            self._block.close()
            super().close()

    def _finish(self) -> None:
        self.flush()
        if self._filled:
            self._no_longer_direct()  # the rest is no whole number of sectors
            self._put(self._block, self._filled)

    def _store(self, view: memoryview) -> None:
        """Write large data from where it lies if that is allowed, and gather the rest in blocks.

        Runs in the writing thread.
        """
        start = 0
        if len(view) >= _WORTH_A_WRITE and self._writes_from(view):
            self._put(self._block, self._filled)
            start = len(view) // PAGE_BYTES * PAGE_BYTES
            self._put(view, start)
        while start < len(view):
            count = min(len(view) - start, BLOCK_BYTES - self._filled)
            self._block[self._filled : self._filled + count] = view[start : start + count]
            self._filled += count
            start += count
            if self._filled == BLOCK_BYTES:
                self._put(self._block, BLOCK_BYTES)

    def _writes_from(self, view: memoryview) -> bool:
        """Whether `view` can be written as it lies, at the place that the file has reached."""
        if not self._direct:
            return True
        return self._filled % PAGE_BYTES == 0 and _begins_at_page(view)

    def _put(self, data: Buffer, size: int) -> None:
        done = 0
        with memoryview(data) as block:
            while done < size:
                try:
                    done += os.write(self._handle, block[done:size])
                except OSError as error:
                    if not (self._direct and error.errno == errno.EINVAL):
                        error.filename = str(self._path)
                        raise
                    # A file system that takes the flag and not the writes, or sectors larger than
                    # what a write that was cut short has left.
                    self._no_longer_direct()
        self._filled = 0

    def _no_longer_direct(self) -> None:
        if self._direct:
            flags = fcntl.fcntl(self._handle, fcntl.F_GETFL)
            fcntl.fcntl(self._handle, fcntl.F_SETFL, flags & ~_DIRECT)
            self._direct = False


def _opened(path: Path) -> tuple[int, bool]:
    """A descriptor of the new file, and whether it writes past the page cache."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
    if _DIRECT:
        try:
            return os.open(path, flags | _DIRECT, 0o666), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return os.open(path, flags, 0o666), False


def _begins_at_page(view: memoryview) -> bool:
    if view.readonly:  # ctypes gives no address of it
        return False
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) % PAGE_BYTES == 0


def _wait_for(pending: Sequence[Future[Any]]) -> None:
    """Wait for all of them; the first error is raised when none is running any more."""
    wait(pending)
    for future in pending:
        future.result()
