"""The command itself: bare config files, and a run that is killed and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_data.indexed import IndexedWriter


@pytest.fixture
def recipe(tmp_path: Path, config_folder: Path) -> Path:
    """A config file over 60 documents; output in tmp_path / "out"."""
    rng = np.random.default_rng(0)
    with IndexedWriter(tmp_path / "data" / "text", np.uint16) as writer:
        for _ in range(60):
            writer.add_document(rng.integers(0, 61, rng.integers(20, 90)))
    settings = {
        "stage": "Pretrain",
        "model_name_or_path": str(config_folder),
        "input_dir": str(tmp_path / "data"),
        "output_dir": str(tmp_path / "out"),
        "split": "90,10,0",
        "max_seq_length": 16,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "max_steps": 14,
        "logging_steps": 1,
        "save_steps": 6,
        "do_eval": True,
        "eval_steps": 7,
        "device": "cpu",
    }
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def metrics(folder: Path) -> list[dict[str, float]]:
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_killed_process_goes_on_as_if_nothing_had_happened(recipe: Path, tmp_path: Path) -> None:
    assert run(["train", str(recipe), "--output_dir", str(tmp_path / "whole")]) == 0
    # A step is made slow enough for the kill to fall between checkpoint 6 and the end.
    slow = (
        "import time; from llm_train.loop.batches import StepLoader as S; old = S.__iter__;"
        "S.__iter__ = lambda self: (time.sleep(0.3) or step for step in old(self));"
        "from llm_cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "train", str(recipe)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "checkpoint-6" / "COMPLETE").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert run(["train", str(recipe)]) == 0
    whole, resumed = (metrics(tmp_path / name) for name in ("whole", "out"))
    keys = ("step", "loss", "eval_loss", "tokens")
    assert [[row.get(k) for k in keys] for row in resumed] == [
        [row.get(k) for k in keys] for row in whole
    ]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "out")]
    assert files[0] == files[1]


def test_a_wrong_model_folder_is_a_sentence(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(recipe), "--model_name_or_path", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_config_without_a_needed_field_is_a_sentence(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert run(["train", str(recipe), "--model_name_or_path", str(tmp_path)]) == 2
    assert "hidden_size" in capsys.readouterr().err


def test_parallel_degrees_need_as_many_processes(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(recipe), "--tensor_parallel_degree", "2"]) == 2
    told = capsys.readouterr().err
    assert "their number must be a multiple of 2. Change --nproc_per_node" in told
