"""The processes of a run, started and watched."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from llm_cli.outputs import written_file
from llm_kernels.native import default_threads
from llm_train.errors import RecipeError, StoppedError, TrainError
from llm_train.launch import chain, worker
from llm_train.launch.notes import LOGS, Failure, clear, first_failure, process_of
from llm_train.launch.worker import OPTIONS_FILE
from llm_train.orphans import PARENT
from llm_train.parallel.layout import layout_of
from llm_train.training_options import TrainingOptions

_NOISE = ("LAUNCH ", "I0", "I1", "W0", "W1", "[20", "=====", "FLAGS(", "Container rank")
"""How lines begin that Paddle and its launcher say of themselves."""
_AGAIN = "ERROR LOG DETAIL"
"""After a launcher's line with this comes the end of a log: it was shown, or is told of another."""
_NO_CCACHE = "ignore:No ccache found:UserWarning"
"""Paddle warns of it on import, also where nothing is compiled."""


class WorkerError(TrainError):
    """A process of the run failed; `exit_code` is its own."""


def needs_launch(options: TrainingOptions) -> bool:
    """Whether the options ask for processes that nobody has started yet."""
    if "PADDLE_TRAINER_ID" in os.environ:
        return False
    return options.nproc_per_node * options.nnodes > 1


def launch(options: TrainingOptions, target: str) -> None:
    """Run `target` ("module:function") with these options in all processes; return when they end.

    Raises RecipeError where the processes do not fit the layout, WorkerError with the error of the
    first process that failed, KeyboardInterrupt when the run was interrupted and has stopped.
    """
    layout = layout_of(options, options.nproc_per_node * options.nnodes)
    _check_machines(options)
    logging.getLogger(__name__).info("%d processes: %s.", layout.processes, layout)
    logs = logs_of(options)
    logs.mkdir(parents=True, exist_ok=True)
    clear(logs)
    _write_options(options, logs)
    process = subprocess.Popen(
        launcher_command(options, logs, target),
        env=worker_environment(options.nproc_per_node),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    with _terminated_as_interrupted():
        interrupted = _follow(process, logs)
    failure = first_failure(logs)
    if failure is not None:
        raise _error(failure, logs)
    if interrupted:
        raise KeyboardInterrupt
    if process.returncode:
        message = (
            f"A process of the run ended with code {process.returncode} and left no error; it was "
            f"probably killed, for memory or from outside. Look at {logs}/workerlog.*."
        )
        raise WorkerError(message)


def _error(failure: Failure, logs: Path) -> WorkerError:
    stopped = failure.exit_code == StoppedError.exit_code
    text = failure.text if stopped else f"Process {failure.rank}: {failure.text}"
    # Only a mistake of ours has left a traceback.
    ours = failure.exit_code == 1
    error = WorkerError(f"{text} (More is in {logs}/workerlog.*)" if ours else text)
    error.exit_code = failure.exit_code
    return error


def logs_of(options: TrainingOptions) -> Path:
    """Where the processes of this machine leave what they say."""
    logs = Path(options.output_dir) / LOGS
    return logs / socket.gethostname() if options.nnodes > 1 else logs


def launcher_command(options: TrainingOptions, logs: Path, target: str) -> list[str]:
    """The command line of Paddle's launcher, as a link of our chain."""
    command = [sys.executable, chain.__file__]
    command += ["--nproc_per_node", str(options.nproc_per_node), "--log_dir", str(logs)]
    if options.nnodes > 1:
        command += ["--nnodes", str(options.nnodes), "--master", str(options.master)]
        if options.node_rank >= 0:
            command += ["--rank", str(options.node_rank)]
    return [*command, worker.__file__, str(logs), target]


def worker_environment(
    workers: int, before: Mapping[str, str] | None = None, processors: int | None = None
) -> dict[str, str]:
    """The environment of processes on this machine: each has its part of the processors,
    and the first knows whom it ends with.

    Without visible GPUs CUDA_VISIBLE_DEVICES must be absent: the launcher reads an empty one too.
    """
    made = dict(os.environ if before is None else before)
    if not made.get("CUDA_VISIBLE_DEVICES"):
        made.pop("CUDA_VISIBLE_DEVICES", None)
    made[PARENT] = str(os.getpid())
    count = default_threads() if processors is None else processors
    made.setdefault("OMP_NUM_THREADS", str(max(count // workers, 1)))
    given = made.get("PYTHONWARNINGS")
    made["PYTHONWARNINGS"] = f"{given},{_NO_CCACHE}" if given else _NO_CCACHE
    return made


def _check_machines(options: TrainingOptions) -> None:
    if options.nnodes > 1 and not options.master:
        message = (
            f"--nnodes {options.nnodes} needs --master IP:PORT, an address of one of the machines "
            "that all of them reach. Give the same to each."
        )
        raise RecipeError(message)


def _write_options(options: TrainingOptions, logs: Path) -> None:
    kind = type(options)
    content = {
        "class": f"{kind.__module__}:{kind.__qualname__}",
        "options": asdict(options),
        "debug": logging.getLogger().isEnabledFor(logging.DEBUG),
    }
    with written_file(logs / OPTIONS_FILE) as stream:
        stream.write(json.dumps(content, indent=1).encode())


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM be what Ctrl-C is: batch systems and containers stop a run so.

    Otherwise this process would end at once, and its workers, which end with it, leave no
    checkpoint. Only the main thread may say what a signal does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow(process: subprocess.Popen[str], logs: Path) -> bool:
    """Show what the first process says until all end; whether it was interrupted."""
    assert process.stdout is not None
    asked = 0
    while True:
        try:
            _show(process.stdout)
            process.wait()
            return asked > 0
        except KeyboardInterrupt:
            asked += 1
            leading = process_of(logs, 0)
            if asked == 1 and leading is not None:
                os.kill(leading, signal.SIGINT)
            else:
                os.killpg(process.pid, signal.SIGTERM)


def _show(stream: IO[str]) -> None:
    again = False
    for line in stream:
        again = again or (_AGAIN in line and line.startswith(_NOISE))
        if not again and not line.startswith(_NOISE) and line.strip():
            sys.stderr.write(line)
            sys.stderr.flush()
