"""Processes that end with the one that started them, however it ends.

    env[PARENT] = str(os.getpid())      # the parent, before it starts the child
    end_with_parent()                   # the child, first of all

Linux kills the child when its parent is gone; elsewhere nothing happens. A chain of processes ends
from the top when each of its links asks for this.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "LLM_TRAIN_PARENT"
"""The environment variable that holds the number of the process that started this one."""
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def end_with_parent(parent: int | None = None) -> None:
    """Let Linux kill this process when its parent ends; elsewhere nothing happens.

    A worker of a run that was killed would train on, with its share of the memory. `parent` is the
    process that is expected; where another one has taken its place it has ended already, and so
    does this one. Absent: whoever is the parent now.
    """
    if sys.platform != "linux":
        return
    expected = os.getppid() if parent is None else parent
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != expected:  # it ended before the request
        os._exit(1)


def end_with_reader(_number: int) -> None:
    """`worker_init_fn` of a DataLoader: its worker, of any number, ends with who reads from it."""
    end_with_parent()


def expected_parent() -> int | None:
    """The process number in the environment, taken from there: it is not for this one's children.

    None where nobody has left one.
    """
    given = os.environ.pop(PARENT, "")
    return int(given) if given.isdigit() else None
