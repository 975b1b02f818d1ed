"""Samples to a batch: filled on the right, positions going on, labels -100 in the filling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llm_data.errors import SampleError
from llm_data.indexed.layout import IntArray
from llm_data.sft.encoding import IGNORED

_FILL_ZERO = ("segment_ids", "position_ids")


def collate(
    samples: Sequence[Mapping[str, IntArray]],
    *,
    pad_token_id: int,
    pad_to_multiple_of: int | None = None,
    pad_to: int | None = None,
) -> dict[str, IntArray]:
    """Batch of samples: every field int64 [B, T], and `attention_mask` int64 [B, T] (1: a token).

    T is the longest sample, or `pad_to`, rounded up to `pad_to_multiple_of`. Segment ids of the
    filling are 0 (real ones start at 1). Raises SampleError when a sample is longer than `pad_to`.
    """
    longest = max(sample["input_ids"].size for sample in samples)
    if pad_to is not None and longest > pad_to:
        message = f"A sample of {longest} tokens does not fit a batch of {pad_to} tokens."
        raise SampleError(message)
    width = longest if pad_to is None else pad_to
    if pad_to_multiple_of:
        width = -(-width // pad_to_multiple_of) * pad_to_multiple_of
    fill = {"input_ids": pad_token_id, "labels": IGNORED} | dict.fromkeys(_FILL_ZERO, 0)
    batch = {
        name: np.full((len(samples), width), fill[name], dtype=np.int64) for name in samples[0]
    }
    batch["attention_mask"] = np.zeros((len(samples), width), dtype=np.int64)
    for row, sample in enumerate(samples):
        for name, values in sample.items():
            batch[name][row, : values.size] = values
        batch["attention_mask"][row, : sample["input_ids"].size] = 1
    return batch
