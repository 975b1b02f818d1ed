"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_cli.errors import UserError
from llm_cli.folder_files import FolderFiles, Watched
from llm_cli.lineage import fingerprint, lineage
from llm_cli.outputs import (
    clear_leftovers,
    is_complete,
    verify_complete,
    written_file,
    written_folder,
)


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"good")
    with pytest.raises(OSError, match="No space"), written_file(file) as stream:
        stream.write(b"half")
        raise disk_full()
    assert file.read_bytes() == b"good"
    assert [p.name for p in tmp_path.iterdir()] == ["model.bin"]


def test_a_folder_is_complete_and_says_where_it_came_from(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with written_folder(source, lineage("make")) as folder:
        (folder / "a.txt").write_text("a")
    target = tmp_path / "target"
    with written_folder(target, lineage("copy", {"x": 1}, {"source": source})) as folder:
        (folder / "a.txt").write_text("a")
    told = json.loads((target / "llm.json").read_text())
    assert told["command"] == "copy"
    assert told["options"] == {"x": 1}
    assert told["parents"] == [json.loads((source / "llm.json").read_text())["id"]]
    assert told["packages"]["llm-toolchain-cli"] == "0.1.0"
    assert is_complete(target)
    assert verify_complete(target) == []


def test_a_changed_or_missing_file_is_seen(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with written_folder(target, {}) as folder:
        (folder / "a.txt").write_text("aaaa")
        (folder / "b.txt").write_text("b")
    (target / "a.txt").write_text("aaab")
    assert is_complete(target)
    assert verify_complete(target) == ["a.txt"]
    (target / "b.txt").unlink()
    assert not is_complete(target)


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with written_folder(target, {}) as folder:
        (folder / "a.txt").write_text("old")
    with pytest.raises(OSError, match="No space"), written_folder(target, {}, overwrite=True) as f:
        (f / "a.txt").write_text("new")
        raise disk_full()
    assert (target / "a.txt").read_text() == "old"
    assert is_complete(target)
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_what_others_wrote_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    for overwrite in (False, True):
        with (
            pytest.raises(UserError, match=r"not empty|did not write"),
            written_folder(tmp_path, {}, overwrite=overwrite),
        ):
            pass
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("output", ["model", "model/../model", "."])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, overwrite: bool
) -> None:
    place = tmp_path / "place"
    with written_folder(place, {}) as folder:
        (folder / "model").mkdir()
    with written_folder(place / "model", {}) as folder:
        (folder / "a.txt").write_text("a")
    monkeypatch.chdir(place)
    origin = lineage("convert", inputs={"source": "model"})
    with (
        pytest.raises(UserError, match=r"the input model, which would be lost"),
        written_folder(output, origin, overwrite=overwrite) as folder,
    ):
        (folder / "b.txt").write_text("b")
    assert (place / "model" / "a.txt").read_text() == "a"
    beside = place / "model" / "converted"
    with written_folder(beside, origin, overwrite=overwrite) as folder:
        (folder / "b.txt").write_text("b")
    assert is_complete(beside)


def test_fingerprints_tell_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 10)
    first = fingerprint(tmp_path)
    assert first == fingerprint(tmp_path)
    (tmp_path / "a").write_bytes(b"1" * 9 + b"2")
    assert fingerprint(tmp_path) != first


KILLED = """
import os, sys
from pathlib import Path
import llm_cli.outputs as outputs
target, allowed, exchanges = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
rename, exchanged = Path.rename, outputs.exchanged
def counted(act):
    def step(*paths):
        global allowed
        if allowed == 0:
            os._exit(9)
        allowed -= 1
        return act(*paths)
    return step
Path.rename = counted(rename)
outputs.exchanged = counted(exchanged) if exchanges else lambda *_: False
with outputs.written_folder(target, {}, overwrite=True) as folder:
    (folder / "a.txt").write_text("new")
os._exit(9)
"""


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_writer_killed_at_any_rename_loses_nothing(
    tmp_path: Path, allowed: int, exchanges: bool
) -> None:
    target = tmp_path / "target"
    with written_folder(target, {}) as folder:
        (folder / "a.txt").write_text("old")
    command = [sys.executable, "-c", KILLED, str(target), str(allowed), str(exchanges)]
    assert subprocess.run(command, check=False).returncode == 9
    clear_leftovers(tmp_path, "target")
    assert verify_complete(target) == []
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


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


def test_files_are_on_disk_before_the_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by whatever means: every file and folder was synced when COMPLETE is begun."""
    steps: list[object] = []
    sync, begin = os.fsync, FolderFiles.open

    def slow(handle: int) -> None:
        time.sleep(0.05)
        sync(handle)
        steps.append(os.fstat(handle).st_ino)

    def noting(files: FolderFiles, path: Path, *, streamed: bool = False) -> Watched:
        steps.append(path.name.split(".")[1])
        return begin(files, path, streamed=streamed)

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(FolderFiles, "open", noting)
    target = tmp_path / "target"
    with written_folder(target, {}) as folder:
        (folder / "past.txt").write_text("past written_file")
        with written_file(folder / "through.txt") as stream:
            stream.write(b"through it")
        with written_file(folder / "sub" / "streamed.txt", streamed=True) as stream:
            stream.write(b"through threads")
    begun = steps.index("COMPLETE")
    for name in ("past.txt", "through.txt", "sub/streamed.txt", "sub", "llm.json", "."):
        assert (target / name).stat().st_ino in steps[:begun], name
    after = steps[begun:]
    marker, names = (target / "COMPLETE").stat().st_ino, target.stat().st_ino
    assert after.index(marker) < after.index(names) < after.index(tmp_path.stat().st_ino)


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


WRITER = """
import sys
from llm_cli.outputs import written_folder
for number in range(30):
    with written_folder(sys.argv[1], {}, overwrite=True) as folder:
        (folder / "a.txt").write_text(str(number))
"""


def test_writers_of_one_name_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with written_folder(target, {}) as folder:
        (folder / "a.txt").write_text("first")
    command = [sys.executable, "-c", WRITER, str(target)]
    writers = [subprocess.Popen(command) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert verify_complete(target) == []
    assert (target / "a.txt").read_text() == "29"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("there", [False, True])
def test_a_place_that_another_run_took_meanwhile_stays_as_it_is(
    tmp_path: Path, there: bool
) -> None:
    """Both began when nothing, or an empty folder, was there; neither may overwrite."""
    target = tmp_path / "target"
    if there:
        target.mkdir()
    with (
        pytest.raises(UserError, match=r"Another run has written the output .*target meanwhile"),
        written_folder(target, {}) as late,
    ):
        (late / "a.txt").write_text("late")
        with written_folder(target, {}) as early:
            (early / "a.txt").write_text("early")
    assert (target / "a.txt").read_text() == "early"
    assert verify_complete(target) == []
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


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


@pytest.mark.parametrize("there", ["nothing", "empty", "output"])
def test_a_link_leads_to_the_place_that_is_written(tmp_path: Path, there: str) -> None:
    disk, link = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    link.symlink_to(disk / "big")
    if there == "empty":
        (disk / "big").mkdir()
    elif there == "output":
        with written_folder(disk / "big", {}) as folder:
            (folder / "a.txt").write_text("old")
    for content in ("first", "second"):
        overwrite = content == "second" or there == "output"
        with written_folder(link, {}, overwrite=overwrite) as folder:
            assert folder.parent == disk
            (folder / "a.txt").write_text(content)
        assert link.readlink() == disk / "big"
        assert (disk / "big" / "a.txt").read_text() == content
        assert verify_complete(link) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]
        assert [path.name for path in disk.iterdir()] == ["big"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_link_that_came_meanwhile_goes_and_what_it_leads_to_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr("llm_cli.outputs.exchanged", lambda *_: False)
    target, other = tmp_path / "target", tmp_path / "other"
    other.mkdir()
    (other / "theirs.txt").write_text("theirs")
    with written_folder(target, {}, overwrite=True) as folder:
        (folder / "a.txt").write_text("a")
        target.symlink_to(other)
    assert not target.is_symlink()
    assert verify_complete(target) == []
    assert (other / "theirs.txt").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "target"]


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
