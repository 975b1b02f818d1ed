"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_train.orphans import PARENT, end_with_parent, expected_parent

FORK = """
import os, time
from llm_train.orphans import end_with_parent
child = os.fork()
if child == 0:
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", FORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().strip())
        assert child.exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_child_whose_parent_is_another_one_ends_at_once() -> None:
    script = (
        "from llm_train.orphans import end_with_parent, expected_parent\n"
        "end_with_parent(expected_parent())\n"
        "print('goes on')"
    )
    for parent, said in ((os.getpid(), "goes on\n"), (os.getppid(), ""), ("", "goes on\n")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, PARENT: str(parent)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.stdout == said


def test_the_number_of_a_parent_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, "12")
    assert expected_parent() == 12
    assert expected_parent() is None


def test_other_systems_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    end_with_parent(os.getppid() + 1)
