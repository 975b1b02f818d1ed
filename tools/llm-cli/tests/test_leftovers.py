"""What killed writers left is cleared, and nothing of living ones."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_cli.outputs import clear_leftovers, verify_complete, written_file, written_folder


def test_leftovers_are_removed_and_a_whole_one_takes_its_empty_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two", "other"):
        with written_folder(tmp_path / name, {}) as folder:
            (folder / "a.txt").write_text(name)
        (tmp_path / name).rename(tmp_path / f".{name}.0123abcd.tmp")
    half = tmp_path / ".one.89.tmp"
    half.mkdir()
    (half / "a.txt").write_text("half")
    (tmp_path / "two").mkdir()
    clear_leftovers(tmp_path, "on*")
    clear_leftovers(tmp_path, "two")
    assert (tmp_path / "one" / "a.txt").read_text() == "one"
    assert verify_complete(tmp_path / "one") == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.0123abcd.tmp", "one", "two"]
    assert "left whole by an interrupted run" in caplog.text


def test_a_leftover_whose_files_are_not_those_of_its_marker_does_not_take_its_place(
    tmp_path: Path,
) -> None:
    left = left_over(tmp_path, whole=True)
    (left / "a.txt").write_text("b")  # as large as before
    clear_leftovers(tmp_path, "target")
    assert not list(tmp_path.iterdir())


def left_over(folder: Path, *, whole: bool) -> Path:
    """What a killed writer of "target" left in `folder`."""
    with written_folder(folder / "target", {}) as written:
        (written / "a.txt").write_text("a")
    left = folder / ".target.0123abcd.tmp"
    (folder / "target").rename(left)
    if not whole:
        (left / "COMPLETE").unlink()
    return left


def test_an_empty_folder_is_spared_until_its_writer_must_have_claimed_it(tmp_path: Path) -> None:
    new = tmp_path / ".target.89.tmp"
    new.mkdir()
    clear_leftovers(tmp_path, "target")
    assert new.is_dir()
    before = time.time() - 3600
    os.utime(new, (before, before))
    clear_leftovers(tmp_path, "target")
    assert not new.exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_leftover_is_claimed_until_it_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    left = left_over(tmp_path, whole=whole)
    seen = []

    def watched(act: Callable[..., object]) -> Callable[..., object]:
        def step(path: Path, *others: Path) -> object:
            handle = os.open(path, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(handle)
            seen.append(path)
            return act(path, *others)

        return step

    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))
    clear_leftovers(tmp_path, "target")
    assert seen == [left]
    assert not left.exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_leftover_that_another_clears_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    left = left_over(tmp_path, whole=whole)
    flock = fcntl.flock

    def late(handle: int, operation: int) -> None:
        shutil.rmtree(left)
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    clear_leftovers(tmp_path, "target")
    assert not list(tmp_path.iterdir())


def test_a_whole_leftover_does_not_fall_over_a_place_that_was_just_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, target = tmp_path / ".target.0123abcd.tmp", tmp_path / "target"
    for path in (left, target):
        with written_folder(tmp_path / "made", {}) as folder:
            (folder / "a.txt").write_text(path.name)
        (tmp_path / "made").rename(path)
    exists = Path.exists
    # As if the place had been taken after it was looked at.
    monkeypatch.setattr(Path, "exists", lambda path: path != target and exists(path))
    clear_leftovers(tmp_path, "target")
    monkeypatch.undo()
    assert (target / "a.txt").read_text() == "target"
    assert not left.exists()


@pytest.mark.parametrize("leads", ["nowhere", "empty", "whole"])
def test_a_left_over_link_goes_and_what_it_leads_to_stays(tmp_path: Path, leads: str) -> None:
    disk = tmp_path / "disk"
    if leads == "empty":
        disk.mkdir()
        os.utime(disk, (0, 0))
    elif leads == "whole":
        with written_folder(disk, {}) as folder:
            (folder / "a.txt").write_text("a")
    (tmp_path / ".target.0123abcd.tmp").symlink_to(disk)
    with written_folder(tmp_path / "target", {}):
        pass
    wanted = ["target"] if leads == "nowhere" else ["disk", "target"]
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    assert leads != "whole" or verify_complete(disk) == []


# Says when it has begun; ends when it is told to, or is killed.
FILE_WRITER = """
import sys
from llm_cli.outputs import written_file
with written_file(sys.argv[1]) as stream:
    stream.write(b"half")
    stream.flush()
    print("begun", flush=True)
    sys.stdin.readline()
    stream.write(b" and whole")
"""


def begun(file: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of writing `file`."""
    command = [sys.executable, "-c", FILE_WRITER, str(file)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begun\n"
    return writer


def test_what_a_killed_writer_of_a_file_left_is_removed_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "state[1].json"
    others = [tmp_path / ".other.0123abcd.tmp", tmp_path / ".state[1].json.mine.tmp"]
    for other in others:
        other.write_text("somebody's")
    with begun(file) as writer:
        writer.kill()
    assert len(list(tmp_path.iterdir())) == 3
    with written_file(file) as stream:
        stream.write(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([*others, file])
    assert file.read_bytes() == b"new"


def test_what_a_living_writer_of_a_file_writes_stays(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with begun(file) as living:
        with begun(file) as killed:
            killed.kill()
        with written_file(file) as stream:
            stream.write(b"meanwhile")
        assert file.read_bytes() == b"meanwhile"
        living.communicate("go on\n")
    assert living.returncode == 0
    assert file.read_bytes() == b"half and whole"
    assert list(tmp_path.iterdir()) == [file]


def test_an_empty_file_is_spared_until_its_writer_must_have_claimed_it(tmp_path: Path) -> None:
    file, new = tmp_path / "a.txt", tmp_path / ".a.txt.89.tmp"
    new.touch()
    for made, stays in ((time.time(), True), (time.time() - 3600, False)):
        os.utime(new, (made, made))
        with written_file(file) as stream:
            stream.write(b"a")
        assert new.exists() is stays


def test_many_writers_of_one_file_leave_each_other_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    writers = [begun(file) for _ in range(4)]
    for writer in writers:
        writer.communicate("go on\n")
    assert [writer.returncode for writer in writers] == [0] * 4
    assert list(tmp_path.iterdir()) == [file]
