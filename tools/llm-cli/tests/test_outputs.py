"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from llm_cli.errors import UserError
from llm_cli.lineage import fingerprint, lineage
from llm_cli.outputs import is_complete, verify_complete, written_file, written_folder


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


def test_fingerprints_tell_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 10)
    first = fingerprint(tmp_path)
    assert first == fingerprint(tmp_path)
    (tmp_path / "a").write_bytes(b"1" * 9 + b"2")
    assert fingerprint(tmp_path) != first
