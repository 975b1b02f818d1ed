"""One training run, whatever the model and the data are.

    result = run_training(model, options, data, files, command="train pretrain")

`model(input_ids [B, T], position_ids=, attention_mask=)` returns logits [B, T, V]
(`llm_train.model`, or anything that keeps to that); the loss is computed here. `data` says what to
read in which order, `files` how the model is written and read back. Everything else is the same for
all: exact token mean, evaluation, complete checkpoints, exact resume, metrics.jsonl and loss.png.
"""

from __future__ import annotations

from llm_train.loop.data import ModelFiles, Samples, TrainingData
from llm_train.loop.run import TrainingResult, run_training

__all__ = ["ModelFiles", "Samples", "TrainingData", "TrainingResult", "run_training"]
