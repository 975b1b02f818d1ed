"""Whole commands in two processes, started by Paddle's launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.indexed import IndexedWriter
from llm_train.loop.watch import read_metrics


@pytest.fixture
def recipe(tmp_path: Path, golden: Path) -> dict[str, Any]:
    """Options of a short pretraining over random tokens."""
    rng = np.random.default_rng(0)
    with IndexedWriter(tmp_path / "data" / "text", np.uint16) as writer:
        for _ in range(60):
            writer.add_document(rng.integers(0, 250, rng.integers(20, 90)))
    return {
        "stage": "pretrain",
        "model_name_or_path": str(golden / "llama_v2_gqa"),
        "continue_training": True,
        "input_dir": str(tmp_path / "data"),
        "split": "90,10,0",
        "max_seq_length": 16,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 6,
        "logging_steps": 1,
        "save_steps": 100,
        "do_eval": True,
        "eval_steps": 3,
        "device": "cpu",
    }


def command(folder: Path, settings: dict[str, Any]) -> list[str]:
    """The command line of a run whose settings are in a file."""
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(settings), encoding="utf-8")
    return [sys.executable, "-m", "llm_cli", "train", str(folder / "recipe.json")]


@pytest.mark.slow
def test_a_command_in_two_processes_is_stopped_and_goes_on(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    parallel = {"nproc_per_node": 2, "tensor_parallel_degree": 2, "max_steps": 400}
    output = tmp_path / "out"
    line = command(tmp_path / "two", {**recipe, **parallel, "output_dir": str(output)})
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while len(read_metrics(output / "metrics.jsonl")) < 4 and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.count("The same command goes on there") == 1, said
    assert "Traceback" not in said
    assert "ccache" not in said
    shown = [line for line in said.splitlines() if line.startswith("pretrain: ")]
    assert shown
    assert len(shown) == len(set(shown)), said
    (checkpoint,) = output.glob("checkpoint-*")
    step = int(checkpoint.name.split("-")[1])

    end = {**recipe, **parallel, "output_dir": str(output), "max_steps": step + 2}
    line = command(tmp_path / "again", end)
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "forecast" in done.stderr
    rows = [row for row in read_metrics(output / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, step + 3))
    assert (output / "COMPLETE").exists()
    assert (output / "model.safetensors.index.json").exists()
