"""Trains one case on however many processes there are; used by herd.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from llm_train.blanks.answers import AnswerLayout, joined
from llm_train.blanks.tokens import BlankTokens
from llm_train.blanks.windows import BlankWindows
from llm_train.loop import TrainingData, run_training
from llm_train.loop.data import stacked
from llm_train.model import FullModelFiles, SpecForCausalLM, build_model
from llm_train.parallel.groups import start
from llm_train.parallel.layout import current_layout, own_rank
from llm_train.training_options import TrainingOptions

BATCH = 16
SETTINGS = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    # Adam makes whole steps of gradients that are zero but for rounding; this keeps them small.
    "adam_epsilon": 1e-6,
    "logging_steps": 1,
    "save_strategy": "no",
    "device": "cpu",
    "per_device_train_batch_size": 4,
    "seed": 3,
}


class Rows:
    """Random tokens; a third of the labels do not count, so micro-batches differ in weight."""

    def __init__(self, count: int, vocab: int, length: int = 12) -> None:
        rng = np.random.default_rng(3)
        self.rows = rng.integers(0, vocab, (count, length + 1))
        self.hidden = rng.random((count, length)) < np.linspace(0, 0.9, count)[:, None]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        labels = np.where(self.hidden[index], -100, self.rows[index, 1:])
        return {"input_ids": self.rows[index, :-1], "labels": labels}


class PackedRows(Rows):
    """Two questions with their answers in a row, as fine-tuning packs them: answers count."""

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        sample = super().__getitem__(index)
        half = len(sample["input_ids"]) // 2
        place = np.arange(2 * half)
        counts = place % half >= half // 2
        return {
            "input_ids": sample["input_ids"],
            "labels": np.where(counts, self.rows[index, 1:], -100),
            "position_ids": place % half,
            "segment_ids": place // half,
        }


def rows_of(kind: type[Rows], count: int, model: SpecForCausalLM) -> Any:
    """The samples of a case; for a model with a prefix mask they are blanks."""
    vocab = model.sizes.vocab
    if model.spec.mask == "causal":
        return kind(count, vocab)
    tokens = BlankTokens(start=vocab - 1, masks=(vocab - 2,))
    rows = kind(count, vocab - 2)
    return PackedBlanks(rows, tokens) if kind is PackedRows else BlankWindows(rows, tokens, 3)


class PackedBlanks:
    """The questions and answers of packed rows, each as a blank of its own."""

    def __init__(self, rows: Rows, tokens: BlankTokens) -> None:
        self.rows, self.layout = rows, AnswerLayout(tokens)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        row = self.rows[index]
        parts = [
            {name: row[name][row["segment_ids"] == part] for name in ("input_ids", "labels")}
            for part in (0, 1)
        ]
        return joined([self.layout.sample(part) for part in parts])


def options_of(case: dict[str, Any]) -> TrainingOptions:
    """The options of a case; steps of BATCH samples whatever the layout."""
    settings = {**SETTINGS, **case.get("options", {})}
    made = TrainingOptions(
        model_name_or_path=case["model"],
        output_dir=case["output"],
        **{"max_steps": case.get("steps", 20), **settings},
    )
    replicas = current_layout(made).replicas
    made.gradient_accumulation_steps = BATCH // (replicas * made.per_device_train_batch_size)
    return made


def changed(model: Path, output: Path, changes: dict[str, Any]) -> Path:
    """A folder with the model's config.json, changed; its weights are new ones."""
    folder = output.with_name(f"{output.name}.config.{own_rank()}")
    folder.mkdir(parents=True, exist_ok=True)
    config = {**json.loads((model / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def train(case: dict[str, Any]) -> None:
    """Train; losses are in metrics.jsonl of the case's output.

    A case with `sixteen_bits` makes its process one that has 16-bit products, for good.
    """
    if case.get("sixteen_bits"):
        from sixteen_bits import pretend

        pretend()
    Path(case["output"]).mkdir(parents=True, exist_ok=True)
    options = options_of(case)
    parallel = start(current_layout(options))
    changes = case.get("changes")
    folder = (
        changed(Path(case["model"]), Path(case["output"]), changes) if changes else case["model"]
    )
    model = build_model(folder, continue_training=not changes, seed=7, parallel=parallel)
    valid = rows_of(Rows, 10, model) if options.evaluates else None
    kind = PackedRows if case.get("packed") else Rows
    data = TrainingData(rows_of(kind, case.get("rows", 64), model), stacked, valid)
    files = FullModelFiles(model, None, parallel)
    run_training(model, options, data, files, command="train case", parallel=parallel)
    if parallel is None or parallel.leads:
        (Path(case["output"]) / "case.json").write_text(json.dumps(case), encoding="utf-8")
        if case.get("sixteen_bits"):
            from sixteen_bits import products

            (Path(case["output"]) / "products.json").write_text(json.dumps(products))
