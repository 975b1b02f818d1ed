"""The launcher's command and environment, and a run of two real processes."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.launch import chain, worker
from llm_train.launch.notes import first_failure
from llm_train.launch.start import (
    WorkerError,
    _show,
    launch,
    launcher_command,
    logs_of,
    needs_launch,
    worker_environment,
)
from llm_train.orphans import PARENT
from llm_train.pretrain.options import PretrainOptions


def options(folder: Path, **changes: Any) -> PretrainOptions:
    return PretrainOptions(model_name_or_path="m", output_dir=str(folder), **changes)


def test_processes_are_started_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not needs_launch(options(tmp_path))
    assert needs_launch(options(tmp_path, nproc_per_node=2))
    assert needs_launch(options(tmp_path, nnodes=2, master="10.0.0.1:8000"))
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    assert not needs_launch(options(tmp_path, nproc_per_node=2))


def test_the_command_of_several_machines(tmp_path: Path) -> None:
    made = options(tmp_path, nproc_per_node=2, nnodes=3, master="10.0.0.1:8000", node_rank=1)
    command = launcher_command(made, tmp_path, "a:b")
    assert command[1] == chain.__file__
    text = " ".join(command)
    assert "--nproc_per_node 2" in text
    assert "--nnodes 3 --master 10.0.0.1:8000 --rank 1" in text
    assert command[-2:] == [str(tmp_path), "a:b"]


def test_every_machine_has_a_folder_of_logs(tmp_path: Path) -> None:
    assert logs_of(options(tmp_path, nproc_per_node=2)) == tmp_path / "logs"
    many = options(tmp_path, nnodes=2, master="10.0.0.1:8000")
    assert logs_of(many) == tmp_path / "logs" / socket.gethostname()


def test_machines_need_an_address(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--master IP:PORT"):
        launch(options(tmp_path, nnodes=2), "a:b")


def test_workers_share_the_processors_and_see_no_empty_list_of_gpus() -> None:
    made = worker_environment(2, {"CUDA_VISIBLE_DEVICES": "", "A": "b"}, processors=5)
    quiet = made.pop("PYTHONWARNINGS")
    assert made.pop(PARENT) == str(os.getpid())
    assert made == {"A": "b", "OMP_NUM_THREADS": "2"}
    kept = worker_environment(9, {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "7"}, 4)
    kept.pop(PARENT)
    assert kept == {
        "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "7", "PYTHONWARNINGS": quiet,
    }  # fmt: skip
    assert worker_environment(2, {"PYTHONWARNINGS": "error"})["PYTHONWARNINGS"] == f"error,{quiet}"


def test_only_paddles_warning_of_ccache_is_silenced() -> None:
    script = (
        "import warnings; warnings.warn('No ccache found. Please'); warnings.warn('something else')"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=worker_environment(2),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "something else" in said
    assert "No ccache" not in said


def test_a_log_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    detail = "LAUNCH INFO 2026-01-01 00:00:00,000 ------- ERROR LOG DETAIL -------\n"
    _show(io.StringIO("loss 2.0\nLAUNCH INFO Pod failed\n\n" + detail + "loss 2.0\n"))
    assert capsys.readouterr().err == "loss 2.0\n"


@pytest.mark.parametrize(
    ("raised", "code", "traceback"),
    [
        ("llm_train.errors.StoppedError('Stopped at step 4')", 130, False),
        ("llm_train.errors.RecipeError('no samples')", 2, False),
        ("RuntimeError('a bug')", 1, True),
    ],
)
def test_a_traceback_is_only_for_our_own_mistakes(
    tmp_path: Path, raised: str, code: int, traceback: bool
) -> None:
    (tmp_path / "failing.py").write_text(
        f"import llm_train.errors\ndef run(options):\n    raise {raised}\n"
    )
    content = {
        "class": "llm_train.pretrain.options:PretrainOptions",
        "options": {"model_name_or_path": "m", "output_dir": "o"},
        "debug": False,
    }
    (tmp_path / worker.OPTIONS_FILE).write_text(json.dumps(content))
    done = subprocess.run(
        [sys.executable, worker.__file__, str(tmp_path), "failing:run"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == traceback
    failure = first_failure(tmp_path)
    assert failure is not None
    assert failure.text.removeprefix("RuntimeError: ") in raised


def test_workers_share_what_the_control_group_pays_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_kernels.processors.available", lambda: 6)
    assert worker_environment(2, {})["OMP_NUM_THREADS"] == "3"


@pytest.mark.slow
def test_the_failure_of_one_ends_all_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "failing.py"
    module.write_text(
        "import os, time\n"
        "from llm_train.errors import RecipeError\n"
        "def run(options):\n"
        "    if os.environ['PADDLE_TRAINER_ID'] == '1':\n"
        "        raise RecipeError('the second has no samples')\n"
        "    time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="Process 1: the second has no samples") as raised:
        launch(options(tmp_path / "out", nproc_per_node=2), "failing:run")
    assert raised.value.exit_code == 2
