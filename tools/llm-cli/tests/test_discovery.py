"""Commands are found as importlib.metadata finds them, without importing it."""

from __future__ import annotations

import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from llm_cli.discovery import ENTRY_POINTS, Announcement, announced

FILE = """\
[console_scripts]
other = elsewhere:main

# of a comment nothing is read: no = thing:here
[llm_toolchain.commands]
one = package.cli : command
two=package.cli:group [extra]

[another.group]
three = package.cli:command
"""
FOUND = [Announcement("one", "package.cli", "command"), Announcement("two", "package.cli", "group")]


def distribution(folder: Path, name: str, text: str) -> Path:
    inner = folder / f"{name}.dist-info"
    inner.mkdir(parents=True)
    (inner / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.split('-')[0]}\n")
    (inner / "entry_points.txt").write_text(text)
    return folder


def test_this_installation_announces_what_importlib_finds() -> None:
    expected = {(point.name, point.value) for point in entry_points(group=ENTRY_POINTS)}
    assert {(one.name, one.value) for one in announced()} == expected
    assert len(expected) >= 8


def test_only_our_group_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(distribution(tmp_path, "some_thing-1.0", FILE))])
    assert announced() == FOUND


def test_the_first_of_a_distribution_that_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = distribution(tmp_path / "a", "thing-2.0", FILE)
    second = distribution(tmp_path / "b", "thing-1.0", FILE.replace("package", "old"))
    (tmp_path / "a" / "other-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "absent"), str(first), str(second)])
    assert announced() == FOUND


def test_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(distribution(tmp_path, "thing-1.0", FILE))
    monkeypatch.setattr(sys, "path", [""])
    assert announced() == FOUND


def test_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "thing-1.0", FILE)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in tmp_path.glob("*.dist-info/*"):
            archive.write(file, file.relative_to(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "all.zip")])
    assert announced() == FOUND


def test_an_announcement_loads_what_it_names() -> None:
    assert Announcement("x", "llm_cli.discovery", "announced").load() is announced
