"""Files come into a folder all together or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cli.adding import added_files
from llm_cli.outputs import verify_complete, written_file, written_folder

LAST = "index*"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with written_folder(tmp_path / "place", {}) as folder:
        (folder / "theirs.txt").write_text("theirs")
        (folder / "note.txt").write_text("old")
    return tmp_path / "place"


def add(place: Path) -> None:
    with added_files(place, last=LAST) as folder:
        for name in ("index.json", "note.txt", "part-1"):
            with written_file(folder / name) as stream:
                stream.write(b"new " + name.encode())
        (folder / "part-2").write_text("past written_file")


@pytest.mark.parametrize("marked", [True, False])
def test_files_come_beside_those_that_were_there(place: Path, marked: bool) -> None:
    if not marked:
        (place / "COMPLETE").unlink()
    add(place)
    found = content(place)
    assert found.pop("theirs.txt") == b"theirs"
    assert found.pop("note.txt") == b"new note.txt"
    assert found.pop("index.json") == b"new index.json"
    assert {"part-1", "part-2", "llm.json"} == found.keys() - {"COMPLETE"}
    assert ("COMPLETE" in found) is marked
    assert not marked or verify_complete(place) == []
    (place / "part-2").write_text("past_written_file")
    assert not marked or verify_complete(place) == ["part-2"]


def test_an_error_leaves_the_folder_as_it_was(place: Path) -> None:
    before = content(place)
    with pytest.raises(ValueError, match="no"), added_files(place, last=LAST) as folder:
        (folder / "part-1").write_text("new")
        (folder / "note.txt").write_text("new")
        message = "no"
        raise ValueError(message)
    assert content(place) == before


def test_a_file_that_cannot_be_moved_takes_the_others_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = content(place), Path.rename

    def failing(path: Path, to: Path) -> Path:
        if path.name == "part-2":
            raise PermissionError(path)
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PermissionError), added_files(place, last=LAST) as folder:
        for name in ("part-1", "part-2", "index.json"):
            (folder / name).write_text("new")
    assert content(place) == before


def test_the_last_comes_when_the_others_are_on_disk(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []
    sync, rename = os.fsync, Path.rename

    def noting(handle: int) -> None:
        sync(handle)
        steps.append(os.fstat(handle).st_ino)

    def moved(path: Path, to: Path) -> Path:
        steps.append(path.name)
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "rename", moved)
    add(place)
    first, last = steps.index("note.txt"), steps.index("index.json")
    for name in ("note.txt", "part-1", "index.json", "part-2"):
        assert (place / name).stat().st_ino in steps[:first], name
    assert place.stat().st_ino in steps[steps.index("part-2") : last]
    assert place.stat().st_ino in steps[last:]


# Kills itself, as `kill -9` does, before the file of a name is moved.
KILLED = """
import os, signal, sys
from pathlib import Path
from llm_cli.adding import added_files
rename = Path.rename
def step(path, to):
    if path.name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, to)
Path.rename = step
with added_files(sys.argv[1], last="index*") as folder:
    for name in ("part-1", "part-2", "index.json"):
        (folder / name).write_text("half")
"""


@pytest.mark.parametrize("name", ["part-1", "part-2", "index.json"])
def test_killed_between_moves_it_can_be_run_again(place: Path, name: str) -> None:
    before = content(place)
    command = [sys.executable, "-c", KILLED, str(place), name]
    assert subprocess.run(command, check=False).returncode == -9
    assert not (place / "index.json").exists()
    assert verify_complete(place) == []
    assert (place / "theirs.txt").read_bytes() == before["theirs.txt"]
    add(place)
    assert (place / "index.json").read_bytes() == b"new index.json"
    assert verify_complete(place) == []
    assert not list(place.glob(".*"))
