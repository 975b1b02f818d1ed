"""A small model, its data and its runs, made once for all tests of training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_train.quiet import import_paddlenlp

import_paddlenlp()

from llm_train.loop import TrainingData, TrainingResult, run_training  # noqa: E402
from llm_train.loop.data import stacked  # noqa: E402
from llm_train.loop.identity import SAMPLES  # noqa: E402
from llm_train.loop.watch import read_metrics  # noqa: E402
from llm_train.model import FullModelFiles, build_model  # noqa: E402
from llm_train.training_options import TrainingOptions  # noqa: E402

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 61,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


class Repeating:
    """Samples whose next token follows from the last, so that a loss can fall.

    `interrupt_at`: raise KeyboardInterrupt when steps have read that many samples; what the run
    looks at before its first step comes on top.
    """

    def __init__(self, count: int, length: int = 12, interrupt_at: int | None = None) -> None:
        rng = np.random.default_rng(7)
        follow = rng.permutation(61)
        self.rows = np.zeros((count, length + 1), dtype=np.int64)
        self.rows[:, 0] = rng.integers(0, 61, count)
        for place in range(length):
            self.rows[:, place + 1] = follow[self.rows[:, place]]
        looked_at = min(count, SAMPLES)
        self.interrupt_at = None if interrupt_at is None else interrupt_at + looked_at
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if len(self.read) == self.interrupt_at:
            raise KeyboardInterrupt
        self.read.append(index)
        return {"input_ids": self.rows[index, :-1], "labels": self.rows[index, 1:]}


@dataclass
class Trained:
    """A run in a folder: `go` trains, the rest reads what it left."""

    folder: Path
    config: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.folder

    def options(self, **changes: Any) -> TrainingOptions:
        """Options of twelve short steps, with changes."""
        values = {
            "model_name_or_path": str(self.config),
            "output_dir": str(self.folder),
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "warmup_steps": 2,
            "weight_decay": 0.1,
            "max_steps": 12,
            "logging_steps": 1,
            "save_steps": 5,
            "seed": 3,
            "device": "cpu",
        }
        return TrainingOptions(**{**values, **self.settings, **changes})

    def go(
        self,
        train: Repeating,
        valid: Repeating | None = None,
        *,
        weights: int = 5,
        **changes: Any,
    ) -> TrainingResult:
        """Train a model with new weights, of the seed `weights`."""
        options = self.options(**changes)
        model = build_model(self.config, continue_training=False, seed=weights)
        data = TrainingData(train, stacked, valid)
        return run_training(model, options, data, FullModelFiles(model), command="train pretrain")

    def losses(self) -> dict[int, float]:
        """Training loss by step."""
        return {row["step"]: row["loss"] for row in self.metrics() if "loss" in row}

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return read_metrics(self.folder / "metrics.jsonl")

    def weights(self) -> bytes:
        """The finished model's weight file."""
        return (self.folder / "model.safetensors").read_bytes()

    def checkpoints(self) -> list[str]:
        """Names of the checkpoint folders, oldest first."""
        found = [path.name for path in self.folder.glob("checkpoint-*")]
        return sorted(found, key=lambda name: int(name.split("-")[1]))


@pytest.fixture(scope="session")
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with config.json alone."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


@pytest.fixture
def trained(tmp_path: Path, config_folder: Path) -> Callable[..., Trained]:
    """Factory of runs: `trained("name", **options)`."""

    def make(name: str = "run", **settings: Any) -> Trained:
        return Trained(tmp_path / name, config_folder, settings)

    return make


@pytest.fixture
def repeating() -> type[Repeating]:
    """The class of learnable samples."""
    return Repeating
