"""Held-out windows of {"src", "tgt"} lines: the answer's tokens are scored, the prompt is read."""

from __future__ import annotations

import numpy as np

from llm_data.sft import IGNORED, SftDataset
from llm_data.tokenizer import load_tokenizer
from llm_quant.report.windows import Window


def sft_windows(
    path: str,
    tokenizer: str,
    *,
    chat_template: str | None,
    src_length: int,
    max_length: int,
    max_tokens: int,
) -> tuple[list[Window], int]:
    """One window a sample of dev.json until `max_tokens` targets, and how many there were in all.

    tokenizer: the model folder. Raises llm-data's errors.
    """
    data = SftDataset(
        path,
        load_tokenizer(tokenizer),
        split="dev",
        src_length=src_length,
        max_length=max_length,
        chat_template=chat_template,
    )
    windows: list[Window] = []
    taken = 0
    for sample in data:
        if taken >= max_tokens:
            break
        labels = sample["labels"]
        scored = labels != IGNORED
        # Labels are shifted: label i is the token after input i, so the last one closes the ids.
        last = labels[-1:] if scored[-1] else sample["input_ids"][-1:]
        windows.append(Window(np.concatenate([sample["input_ids"], last]), scored))
        taken += int(scored.sum())
    return windows, data.report.trained_tokens
