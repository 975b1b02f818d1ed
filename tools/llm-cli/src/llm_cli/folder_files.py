"""The files of a folder that is being written: hashed on the way, on disk soon after.

Reading a large output again for its hash, and waiting for the disk after each of its files, costs
more than writing it. `HashedFile` is an ordinary file that hashes what it writes. `StreamedFile`
is for large ones: one thread hashes and another writes what the caller goes on making. What was
written past them (moved in, copied, changed later) has no digest here, and is read again by whoever
wants one.
"""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias

from llm_cli.streamed_file import StreamedFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BEING_WRITTEN", "FolderFiles", "HashedFile", "Watched", "folder_of", "write_shared"]

_Identity = tuple[int, int, int]


class _NamedFile(io.FileIO):
    """A file whose errors say its name, which the system's own do not for a full disk."""

    def write(self, data: Buffer, /) -> int:
        """Write; OSError with the name."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = str(self.name)
            raise


class HashedFile(io.BufferedWriter):
    """A file that hashes what is written to it from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        super().__init__(_NamedFile(path, "wb"))
        self._hash = hashlib.sha256()
        self._hashed: int | None = 0

    def write(self, data: Buffer, /) -> int:
        """Write and hash."""
        self._hash.update(data)
        if self._hashed is not None:
            self._hashed += memoryview(data).nbytes
        return super().write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; what was hashed is not the file any more."""
        self._hashed = None
        return super().seek(offset, whence)

    def digest(self) -> str | None:
        """SHA-256 of the file, hexadecimal; None where not all of it passed `write`."""
        self.flush()
        size = os.fstat(self.fileno()).st_size
        return self._hash.hexdigest() if self._hashed == size else None


Watched: TypeAlias = HashedFile | StreamedFile


class _Written(NamedTuple):
    digest: str
    identity: _Identity


class FolderFiles:
    """What is known of the files of one folder; close it when the folder is done or given up."""

    def __init__(self) -> None:
        self._pools = [ThreadPoolExecutor(1, name) for name in ("hash", "write", "sync")]
        self._process = os.getpid()
        self._written: dict[Path, _Written] = {}
        self._syncs: list[Future[None]] = []

    @property
    def ours(self) -> bool:
        """Whether this process made it: a forked child has none of its threads."""
        return self._process == os.getpid()

    def open(self, path: Path, *, streamed: bool = False) -> Watched:
        """A new file of the folder, under a temporary name or its own."""
        hashing, writing, _ = self._pools
        return StreamedFile(path, hashing, writing) if streamed else HashedFile(path)

    def finish(self, stream: Watched, path: Path) -> None:
        """Note the digest of a written file whose name will be `path`, and begin to sync it."""
        digest = stream.digest()
        if digest is not None:
            self._written[path] = _Written(digest, _identity(os.fstat(stream.fileno())))
        self._syncs.append(self._pools[-1].submit(_sync, os.dup(stream.fileno()), path))

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
        for pool in self._pools:
            pool.shutdown()


BEING_WRITTEN: dict[Path, FolderFiles] = {}
"""The folders, under their temporary names, that this process is writing."""


def folder_of(path: Path) -> FolderFiles | None:
    """The folder being written that `path` lies in."""
    around = (BEING_WRITTEN[folder] for folder in path.parents if folder in BEING_WRITTEN)
    return next((files for files in around if files.ours), None)


def write_shared(stream: BinaryIO, data: Buffer) -> None:
    """Write `data`, which must not change before SHARED_WRITES more return, or the close.

    For streamed files of `written_folder` that saves time; any other stream writes it as always.
    """
    if isinstance(stream, StreamedFile):
        stream.write_shared(data)
    else:
        stream.write(data)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sync(handle: int, path: Path) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)
