"""A run whose processes are killed, one or another: nobody of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        rank = os.environ["PADDLE_TRAINER_ID"]
        with open(os.path.join(options.output_dir, "asked." + rank), "w"):
            raise
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


def gone(output: Path) -> bool:
    """Whether nobody of the run is left within some seconds."""
    deadline = time.monotonic() + 5
    while running(output) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(output)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in `tmp_path / "output"`, when all of its processes are there."""
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
    yield process
    for left in running(output):
        os.kill(left, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize("killed", ["command", "launcher"])
def test_who_is_killed_takes_the_workers_along(
    killed: str, started: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    process, output = started, tmp_path / "output"
    workers = [process_of(output / "logs", rank) for rank in range(2)]
    assert None not in workers
    launcher = {parent_of(worker) for worker in workers if worker is not None}
    assert len(launcher) == 1
    os.kill(process.pid if killed == "command" else launcher.pop(), signal.SIGKILL)
    assert process.wait(timeout=10) != 0
    assert gone(output)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_who_is_asked_to_end_asks_the_first_worker(
    started: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """It may write a checkpoint before all end."""
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=30) == -signal.SIGINT  # Python's own end after Ctrl-C
    assert (tmp_path / "output" / "asked.0").exists()
    assert gone(tmp_path / "output")
