"""One run at a time in an output folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.lock import LOCK_FILE, held, refuse_held

HOLD = """
import sys, time
from pathlib import Path
from llm_train.lock import held
with held(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(RecipeError, match="Another run is writing"), held(folder):
            pass
        with pytest.raises(RecipeError, match="Another run is writing"):
            refuse_held(folder)
        other.send_signal(signal.SIGKILL)
    assert (folder / LOCK_FILE).exists()
    refuse_held(folder)
    with held(folder):
        pass
    assert list(folder.iterdir()) == []


FORK = """
import os, sys, time
from pathlib import Path
from llm_train.lock import held
with held(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_child_that_outlives_a_killed_run_does_not_hold_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        with pytest.raises(RecipeError, match="Another run is writing"):
            refuse_held(tmp_path)
        run.send_signal(signal.SIGKILL)
        run.wait()
        try:
            os.kill(child, 0)  # it lives
            refuse_held(tmp_path)
            with held(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_second_training_is_refused_and_the_first_goes_on(
    trained: Callable[..., Any], repeating: type[Any]
) -> None:
    run = trained()

    class Meddled(repeating):  # type: ignore[misc]
        refused = 0

        def __getitem__(self, index: int) -> Any:
            if len(self.read) == 30:
                with pytest.raises(RecipeError, match="Another run is writing"):
                    run.go(repeating(20))
                Meddled.refused += 1
            return super().__getitem__(index)

    result = run.go(Meddled(20))
    assert (Meddled.refused, result.steps) == (1, 12)
    assert not (run.output / LOCK_FILE).exists()
    assert (run.output / "COMPLETE").exists()


def test_processes_of_one_run_may_look_at_the_same_time(tmp_path: Path) -> None:
    with held(tmp_path / "out"):
        pass
    lock = tmp_path / "out" / LOCK_FILE
    lock.touch()
    with lock.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as another that looks, in the middle of it
        refuse_held(tmp_path / "out")
        with pytest.raises(RecipeError, match="Another run is writing"), held(tmp_path / "out"):
            pass
