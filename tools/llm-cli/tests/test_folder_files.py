"""Digests of written files are those of their bytes, or absent."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from llm_cli import building, folder_files
from llm_cli.folder_files import FolderFiles, write_shared
from llm_cli.outputs import verify_complete, written_file, written_folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("way", ["seek", "past", "changed", "replaced"])
def test_a_file_that_is_not_what_was_hashed_has_no_digest(tmp_path: Path, way: str) -> None:
    files = FolderFiles()
    path = tmp_path / "x"
    with files.open(path) as stream:
        stream.write(b"some bytes")
        if way == "seek":
            stream.seek(2)
            stream.write(b"other")
        elif way == "past":
            stream.flush()
            os.write(stream.fileno(), b"more")
        files.finish(stream, path)
    if way == "changed":
        path.write_bytes(b"Some bytes")
        os.utime(path, ns=(1, 1))
    elif way == "replaced":
        (tmp_path / "y").write_bytes(b"some byteS")
        (tmp_path / "y").replace(path)
    assert files.digest(path) is None
    files.close()


def test_a_folder_reads_again_only_what_was_not_written_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = building.sha256
    monkeypatch.setattr(building, "sha256", lambda file: read.append(file.name) or original(file))
    with written_folder(tmp_path / "out", {}) as folder:
        with written_file(folder / "deep" / "large.bin", streamed=True) as stream:
            write_shared(stream, bytes(1 << 20))
        with written_file(folder / "arrays.npz") as stream:
            np.savez(stream, x=np.arange(10_000))
        with written_file(folder / "array.npy") as stream:
            np.save(stream, np.arange(10_000))
        (folder / "copied.txt").write_text("copied")
    assert "copied.txt" in read
    assert "large.bin" not in read
    assert "llm.json" not in read
    listed = json.loads((tmp_path / "out" / "COMPLETE").read_text())["files"]
    assert set(listed) == {*("deep/large.bin", "arrays.npz", "array.npy", "copied.txt", "llm.json")}
    for name, entry in listed.items():
        data = (tmp_path / "out" / name).read_bytes()
        assert entry == {"size": len(data), "sha256": sha256(data)}, name
    assert verify_complete(tmp_path / "out") == []


def test_a_disk_that_fails_late_fails_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(folder_files.os, "fsync", fail)
    with (
        pytest.raises(OSError, match="Input/output"),
        written_folder(tmp_path / "out", {}) as folder,
        written_file(folder / "x") as stream,
    ):
        stream.write(b"x")
    assert not list(tmp_path.iterdir())


def test_threads_end_with_the_folder(tmp_path: Path) -> None:
    import threading

    before = threading.active_count()
    with (
        written_folder(tmp_path / "out", {}) as folder,
        written_file(folder / "x", streamed=True) as stream,
    ):
        write_shared(stream, bytes(1 << 20))
    assert threading.active_count() == before


def test_a_forked_child_writes_on_its_own(tmp_path: Path) -> None:
    with written_folder(tmp_path / "out", {}) as folder:
        with written_file(folder / "x", streamed=True) as stream:
            write_shared(stream, bytes(1 << 20))
        child = os.fork()
        if not child:
            with written_file(folder / "y", streamed=True) as stream:
                write_shared(stream, bytes(1 << 20))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert verify_complete(tmp_path / "out") == []
    assert (tmp_path / "out" / "y").stat().st_size == 1 << 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_full_disk_names_the_file(streamed: bool) -> None:
    files = FolderFiles()
    stream = files.open(Path("/dev/full"), streamed=streamed)
    stream.write(b"x")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        stream.digest()
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        stream.close()
    files.close()
