"""The launcher's command and environment, and a run of two real processes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.launch.start import (
    WorkerError,
    launch,
    launcher_command,
    logs_of,
    needs_launch,
    worker_environment,
)
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
    assert command[1:3] == ["-m", "paddle.distributed.launch"]
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
    assert made == {"A": "b", "OMP_NUM_THREADS": "2"}
    kept = worker_environment(9, {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "7"}, 4)
    assert kept == {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "7"}


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
