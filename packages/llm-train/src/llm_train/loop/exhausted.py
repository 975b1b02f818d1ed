"""Memory that ran out while training, told with what helps and without Paddle's own text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from llm_train.errors import ExhaustedError
from llm_train.forecast.forecast import length_option, sample_length
from llm_train.forecast.room import amount
from llm_train.training_options import TrainingOptions

_ASKED = re.compile(r"alloc memory of (\d+) size|Cannot allocate ([\d.]+ ?[KMGT]?i?B)")
"""How Paddle says what it could not have, on a CPU and on a GPU."""


@contextmanager
def exhaustion_named(options: TrainingOptions) -> Iterator[None]:
    """Turn a MemoryError within into ExhaustedError."""
    try:
        yield
    except MemoryError as error:
        found = _ASKED.search(str(error))
        asked = ""
        if found is not None:
            wanted = amount(int(found[1])) if found[1] else found[2]
            asked = f": {wanted} more were asked for and could not be had"
        message = (
            f"Not enough memory for {options.per_device_train_batch_size} x "
            f"{sample_length(options):,} tokens at once{asked}. Use a shorter "
            f"--{length_option(options)}, a smaller --per_device_train_batch_size (and more "
            "--gradient_accumulation_steps; while evaluating --per_device_eval_batch_size), "
            "--recompute true, or more processes that share the model; `llm "
            "train plan` with the same options says what fits."
        )
        raise ExhaustedError(message) from error
