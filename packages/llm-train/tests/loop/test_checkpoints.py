"""Checkpoint folders: written whole, found, rotated."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cli.outputs import is_complete
from llm_train.errors import ResumeError
from llm_train.loop.checkpoints import Checkpoints, read_run, step_of


def save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(step, lambda folder: (folder / "w").write_text(str(step)) and None, {}, {})


def names(checkpoints: Checkpoints) -> list[int]:
    return [step_of(folder) for folder in checkpoints.all()]


def test_the_newest_is_by_step_not_by_name(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (9, 100, 20):
        save(checkpoints, step)
    assert names(checkpoints) == [9, 20, 100]
    assert checkpoints.newest() == tmp_path / "checkpoint-100"


def test_damaged_and_incomplete_ones_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        save(checkpoints, step)
    (tmp_path / "checkpoint-3" / "COMPLETE").unlink()
    (tmp_path / "checkpoint-2" / "w").write_text("x")
    assert checkpoints.newest() == tmp_path / "checkpoint-1"
    assert "checkpoint-3 is not complete" in caplog.text
    assert "checkpoint-2 is damaged (w)" in caplog.text


def test_what_is_wrong_with_a_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    folder = tmp_path / "checkpoint-1"
    assert checkpoints.problem(folder) is None
    assert checkpoints.problem(tmp_path / "nope") == f"There is no folder {tmp_path / 'nope'}"
    for text in ("", "2", "longer"):
        (folder / "w").write_text(text)
        assert checkpoints.problem(folder) == f"{folder} is damaged (w)"
    (folder / "COMPLETE").write_text("{")
    assert checkpoints.problem(folder) == f"{folder} is damaged (COMPLETE)"
    (folder / "COMPLETE").unlink()
    assert "not complete (its writing was interrupted)" in str(checkpoints.problem(folder))


def test_an_error_while_writing_leaves_nothing_of_it(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit=1)
    save(checkpoints, 1)

    def fail(folder: Path) -> None:
        (folder / "w").write_text("half")
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        checkpoints.save(2, fail, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    assert checkpoints.newest() == tmp_path / "checkpoint-1"


def test_the_limit_spares_the_best_and_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit=2)
    save(checkpoints, 1)
    checkpoints.best = tmp_path / "checkpoint-1"
    for step in (2, 3, 4):
        save(checkpoints, step)
    assert names(checkpoints) == [1, 4]


@pytest.mark.parametrize("limit", range(1, 9))
def test_nothing_goes_before_there_are_more_than_the_limit(tmp_path: Path, limit: int) -> None:
    checkpoints = Checkpoints(tmp_path, limit=limit)
    for step in range(1, 8):
        save(checkpoints, step)
        assert names(checkpoints) == list(range(1, step + 1))[-limit:]


def test_incomplete_ones_do_not_count_as_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit=2)
    save(checkpoints, 1)
    save(checkpoints, 2)
    (tmp_path / "checkpoint-2" / "COMPLETE").unlink()
    save(checkpoints, 3)
    assert names(checkpoints) == [1, 2, 3]


def test_clearing_removes_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".checkpoint-2.aa.tmp").mkdir()
    # An empty one might be of a writer that has only just begun.
    (tmp_path / ".checkpoint-2.aa.tmp" / "w").write_text("half")
    (tmp_path / "abandoned-checkpoint-9").mkdir()
    checkpoints.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_abandoned_branch_is_not_the_newest_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (2, 4, 6):
        save(checkpoints, step)
    for _ in range(2):
        checkpoints.set_aside_after(tmp_path / "checkpoint-2")
        assert names(checkpoints) == [2]
        save(checkpoints, 4)
    assert "checkpoint-6 does not belong to the run" in caplog.text
    assert is_complete(tmp_path / "abandoned-checkpoint-6")
    checkpoints.set_aside_after(tmp_path / "other" / "checkpoint-9")
    assert names(checkpoints) == []


def test_a_whole_checkpoint_that_was_not_renamed_yet_is_found(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 3)
    (tmp_path / "checkpoint-3").rename(tmp_path / ".checkpoint-3.0a1b.tmp")
    checkpoints.clear_leftovers()
    assert checkpoints.newest() == tmp_path / "checkpoint-3"


def test_a_run_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"run\.json cannot be read"):
        read_run(tmp_path)


def test_another_folder_is_no_checkpoint() -> None:
    with pytest.raises(ResumeError, match="checkpoint-STEP"):
        step_of(Path("model"))
