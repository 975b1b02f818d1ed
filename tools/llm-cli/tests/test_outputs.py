"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
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


@pytest.mark.parametrize("name", ["NOTES.md", "runs/loss.csv"])
def test_what_was_put_into_an_output_is_not_replaced_with_it(tmp_path: Path, name: str) -> None:
    target = tmp_path / "out"
    for overwrite in (False, True):
        with written_folder(target, {}, overwrite=overwrite) as folder:
            (folder / "a.txt").write_text("ours")
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).write_text("theirs")
    with (
        pytest.raises(UserError, match=rf"did not write \({name}\)"),
        written_folder(target, {}, overwrite=True),
    ):
        pass
    assert (target / name).read_text() == "theirs"
    (target / name).unlink()
    with written_folder(target, {}, overwrite=True) as folder:
        (folder / "b.txt").write_text("ours")
    assert not (target / "a.txt").exists()


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
import llm_cli.outputs as outputs, llm_cli.swapping as swapping
target, allowed, exchanges = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
rename, exchanged = Path.rename, swapping.exchanged
def counted(act):
    def step(*paths):
        global allowed
        if allowed == 0:
            os._exit(9)
        allowed -= 1
        return act(*paths)
    return step
Path.rename = counted(rename)
swapping.exchanged = counted(exchanged) if exchanges else lambda *_: False
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
        monkeypatch.setattr("llm_cli.swapping.exchanged", lambda *_: False)
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
