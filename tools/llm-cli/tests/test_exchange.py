"""Two names change places at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cli.exchange import exchanged


def test_two_folders_change_places(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    if not exchanged(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this system cannot exchange two names")
    assert (tmp_path / "one" / "two").read_text() == "two"
    assert (tmp_path / "two" / "one").read_text() == "one"


def test_an_absent_name_is_an_error_not_a_silence(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    if not exchanged(tmp_path / "one", tmp_path / "one"):
        pytest.skip("this system cannot exchange two names")
    with pytest.raises(FileNotFoundError):
        exchanged(tmp_path / "one", tmp_path / "two")
