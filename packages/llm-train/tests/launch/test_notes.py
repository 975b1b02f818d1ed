"""What workers leave, and who failed first."""

from __future__ import annotations

import os
from pathlib import Path

from llm_train.launch.notes import clear, first_failure, note_failure, note_start, process_of


def test_the_first_to_fail_is_found(tmp_path: Path) -> None:
    assert first_failure(tmp_path) is None
    note_failure(tmp_path, 1, "the cause", 2)
    note_failure(tmp_path, 0, "what followed from it", 1)
    failure = first_failure(tmp_path)
    assert failure is not None
    assert (failure.rank, failure.text, failure.exit_code) == (1, "the cause", 2)


def test_processes_are_known_by_rank_until_cleared(tmp_path: Path) -> None:
    note_start(tmp_path, 3)
    assert process_of(tmp_path, 3) == os.getpid()
    assert process_of(tmp_path, 0) is None
    note_failure(tmp_path, 3, "text", 1)
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
