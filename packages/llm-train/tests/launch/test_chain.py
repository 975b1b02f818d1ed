"""A run whose processes are killed, one or another: nobody of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_train.launch.notes import process_of

START = """
from pathlib import Path
from llm_train.launch import launch
from llm_train.pretrain.options import PretrainOptions
launch(PretrainOptions(model_name_or_path="m", output_dir={output!r}, nproc_per_node=2), "busy:run")
"""
BUSY = """
import os, sys, time
def run(options):
    if os.fork() == 0:  # a data worker
        from llm_train.orphans import end_with_reader
        end_with_reader(0)
    time.sleep(600)
"""


def running(output: Path) -> set[int]:
    """Processes whose command line holds the folder, or that were forked from one of these."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(output).encode() in line and state != "Z":
            found.add(int(place.name))
    return found


def parent_of(process: int) -> int:
    """The number of a process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("killed", ["command", "launcher"])
def test_who_is_killed_takes_the_workers_along(killed: str, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    output = tmp_path / "output"
    process = subprocess.Popen(
        [sys.executable, "-c", START.format(output=str(output))],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    # The command, the launcher, two workers, and a data worker of each.
    while len(running(output)) < 6 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    workers = [process_of(output / "logs", rank) for rank in range(2)]
    assert None not in workers
    launcher = {parent_of(worker) for worker in workers if worker is not None}
    assert len(launcher) == 1
    os.kill(process.pid if killed == "command" else launcher.pop(), signal.SIGKILL)
    assert process.wait(timeout=10) != 0
    deadline = time.monotonic() + 5
    while running(output) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(output)
