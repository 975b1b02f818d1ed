"""What a worker leaves in the folder of logs: its process number, and its error if it fails."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from llm_cli.outputs import written_file

LOGS = "logs"
"""Name of the folder in output_dir: workerlog.RANK, and these notes."""


@dataclass(frozen=True)
class Failure:
    """The error of a worker: when, what to tell, and the exit code of the command."""

    rank: int
    at: float
    text: str
    exit_code: int


def note_start(logs: Path, rank: int) -> None:
    """Leave this process's number."""
    _write(logs / f"process.{rank}", str(os.getpid()))


def process_of(logs: Path, rank: int) -> int | None:
    """The number of a worker's process; None where it has not begun."""
    try:
        return int((logs / f"process.{rank}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def note_failure(logs: Path, rank: int, text: str, exit_code: int) -> None:
    """Leave this worker's error."""
    content = {"rank": rank, "at": time.time(), "text": text, "exit_code": exit_code}
    _write(logs / f"failure.{rank}.json", json.dumps(content))


def first_failure(logs: Path) -> Failure | None:
    """The error of the worker that failed first; None where none has left one."""
    found = [
        Failure(**json.loads(path.read_text(encoding="utf-8")))
        for path in logs.glob("failure.*.json")
    ]
    return min(found, key=lambda failure: failure.at, default=None)


def clear(logs: Path) -> None:
    """Remove the notes and logs of an earlier run."""
    for pattern in ("process.*", "failure.*.json", "workerlog.*", "options.json"):
        for path in logs.glob(pattern):
            path.unlink()


def _write(path: Path, text: str) -> None:
    with written_file(path) as stream:
        stream.write(text.encode())
