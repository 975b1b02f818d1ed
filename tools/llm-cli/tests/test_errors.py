"""Which exceptions become a sentence for the user."""

from __future__ import annotations

import errno

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


def test_our_own_mistakes_are_not_hidden() -> None:
    assert sentence(KeyError("x")) is None
    assert sentence(ValueError("x")) is None
