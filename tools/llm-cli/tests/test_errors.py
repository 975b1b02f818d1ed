"""Which exceptions become a sentence for the user."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

import pytest

from llm_cli.errors import UserError, sentence


class ForeignError(ValueError):
    """A package that may not import the frame only needs the attribute."""

    exit_code = 2


def test_errors_for_users_keep_their_text() -> None:
    assert sentence(UserError("Rank 0 is too small.")) == "Rank 0 is too small."
    assert sentence(ForeignError("Unknown family.")) == "Unknown family."


def test_errors_of_the_system_say_what_to_do() -> None:
    assert "Check the path" in (sentence(FileNotFoundError(errno.ENOENT, "no", "/a/b")) or "")
    full = sentence(OSError(errno.ENOSPC, "No space left on device", "/a/b")) or ""
    assert "/a/b" in full
    assert "untouched" in full
    assert "a folder is needed" in (sentence(FileExistsError(errno.EEXIST, "is", "/a")) or "")
    assert "a file is needed" in (sentence(IsADirectoryError(errno.EISDIR, "is", "/a")) or "")
    assert "permissions" in (sentence(PermissionError(errno.EACCES, "denied", "/a")) or "")


def test_a_full_disk_says_how_much_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".out.0123abcd.tmp" / ".model.safetensors.4567cdef.tmp"
    told = sentence(OSError(errno.ENOSPC, "No space left on device", str(path))) or ""
    assert f"while writing {tmp_path}/out/model.safetensors; " in told
    number, unit = re.search(r"; ([\d.]+) (KB|MB|GB) are free there", told).groups()  # type: ignore[union-attr]
    free = float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    nameless = sentence(OSError(errno.ENOSPC, "No space left on device")) or ""
    assert "while writing an output. What was there" in nameless
    copied = OSError(errno.ENOSPC, "No space", "/from/x", None, str(tmp_path / "x"))
    assert f"while writing {tmp_path / 'x'};" in (sentence(copied) or "")


def test_an_output_that_cannot_be_made_has_its_own_name() -> None:
    told = sentence(FileNotFoundError(errno.ENOENT, "no", "/proc/.foo.ba2bfb84.tmp")) or ""
    assert told.startswith("The output /proc/foo cannot be made")
    assert "There is no file or folder /a/.b.tmp." in (
        sentence(FileNotFoundError(errno.ENOENT, "no", "/a/.b.tmp")) or ""
    )


def test_our_own_mistakes_are_not_hidden() -> None:
    assert sentence(KeyError("x")) is None
    assert sentence(ValueError("x")) is None
