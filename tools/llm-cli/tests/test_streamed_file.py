"""Streamed files hold and hash every byte in order, past the page cache or not."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli import streamed_file
from llm_cli.folder_files import write_shared
from llm_cli.outputs import written_file, written_folder
from llm_cli.streamed_file import BLOCK_BYTES, PAGE_BYTES, SHARED_WRITES, StreamedFile


@pytest.fixture
def pools() -> Iterator[list[ThreadPoolExecutor]]:
    made = [ThreadPoolExecutor(1) for _ in range(2)]
    yield made
    for pool in made:
        pool.shutdown()


@pytest.fixture(params=["as it is", "no such flag", "refused when opened", "refused when written"])
def _direct(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems that take O_DIRECT, and those that do not."""
    opened, write = os.open, os.write

    def refuse_open(path: Any, flags: int, *rest: int) -> int:
        if flags & streamed_file._DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return opened(path, flags, *rest)

    def refuse_write(handle: int, data: Any) -> int:
        import fcntl

        if fcntl.fcntl(handle, fcntl.F_GETFL) & streamed_file._DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(handle, data)

    if request.param == "no such flag":
        monkeypatch.setattr(streamed_file, "_DIRECT", 0)
    elif request.param == "refused when opened":
        monkeypatch.setattr(os, "open", refuse_open)
    elif request.param == "refused when written":
        monkeypatch.setattr(os, "write", refuse_write)


@pytest.mark.usefixtures("_direct")
@pytest.mark.parametrize("size", [3000, BLOCK_BYTES // 3, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 5])
@pytest.mark.parametrize("from_page", [0, 64])
def test_what_was_written_is_what_was_hashed(
    tmp_path: Path, pools: list[ThreadPoolExecutor], size: int, from_page: int
) -> None:
    rng = np.random.default_rng(1)
    pages = [mmap.mmap(-1, size + from_page) for _ in range(SHARED_WRITES + 1)]
    buffers = [np.frombuffer(memory, np.uint8)[from_page:] for memory in pages]
    expected = b""
    with StreamedFile(tmp_path / "x", *pools) as stream:
        for turn in range(12):
            buffer = buffers[turn % len(buffers)]  # as the writers do: used again when it may be
            buffer[:] = rng.integers(0, 256, size)
            part = buffer[: [size, 7, size // 2][turn % 3]]
            expected += part.tobytes()
            if turn % 5 == 4:
                assert stream.write(part.data) == part.size
                part[:] = 0
            else:
                stream.write_shared(part.data)
        assert stream.digest() == hashlib.sha256(expected).hexdigest()
    assert (tmp_path / "x").read_bytes() == expected


def test_large_data_at_pages_is_written_from_where_it_lies(
    tmp_path: Path, pools: list[ThreadPoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small data is gathered, and so is what would lie across pages of the file."""
    sizes, write = [], os.write

    def counted(handle: int, data: Any) -> int:
        sizes.append(len(data))
        return write(handle, data)

    monkeypatch.setattr(os, "write", counted)
    large = np.frombuffer(mmap.mmap(-1, 3 * BLOCK_BYTES), np.uint8)
    large[:] = np.random.default_rng(2).integers(0, 256, large.size)
    parts = [large[:PAGE_BYTES], large, large[: BLOCK_BYTES + 9], large]
    with StreamedFile(tmp_path / "x", *pools) as stream:
        for part in parts:
            stream.write_shared(part.data)
    assert sizes[:3] == [PAGE_BYTES, 3 * BLOCK_BYTES, BLOCK_BYTES]
    assert (tmp_path / "x").read_bytes() == b"".join(part.tobytes() for part in parts)


def test_whole_blocks_and_nothing(tmp_path: Path, pools: list[ThreadPoolExecutor]) -> None:
    with StreamedFile(tmp_path / "x", *pools) as stream:
        stream.write(bytes(2 * BLOCK_BYTES))
    assert (tmp_path / "x").stat().st_size == 2 * BLOCK_BYTES
    with StreamedFile(tmp_path / "y", *pools) as stream:
        assert stream.digest() == hashlib.sha256().hexdigest()
    assert (tmp_path / "y").read_bytes() == b""


@pytest.mark.parametrize("writes", [1, 9])
def test_a_full_disk_is_told_and_nothing_stays(tmp_path: Path, writes: int) -> None:
    """A write behind the caller fails: at a later write, or when the file is closed."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK_BYTES // 2, limits[1]))
    try:
        with (
            pytest.raises(OSError, match="File too large"),
            written_folder(tmp_path / "out", {}) as folder,
            written_file(folder / "x", streamed=True) as stream,
        ):
            for _ in range(writes):
                write_shared(stream, bytes(BLOCK_BYTES))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_no_way_back(tmp_path: Path, pools: list[ThreadPoolExecutor]) -> None:
    with StreamedFile(tmp_path / "x", *pools) as stream, pytest.raises(OSError, match="seek"):
        stream.seek(0)
