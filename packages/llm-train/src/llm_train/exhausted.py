"""Memory that ran out, told with what helps and without Paddle's or NumPy's own text.

with exhaustion_named(options): ...         # training and evaluating
with loading_named(folder, config): ...     # making a model, or reading its weights
"""

from __future__ import annotations

import errno
import math
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_kernels.families import detect, parameters, read_sizes
from llm_kernels.memory import available, total
from llm_train.errors import ExhaustedError
from llm_train.forecast.forecast import length_option, sample_length
from llm_train.forecast.memory import BYTES
from llm_train.forecast.room import amount
from llm_train.training_options import TrainingOptions

_UNIT = r"[\d.]+ ?[KMGT]?i?B"
_ASKED = re.compile(
    rf"alloc memory of (\d+) size|(?:Cannot|Unable to) allocate ({_UNIT})", re.IGNORECASE
)
"""How Paddle says what it could not have, on a CPU and on a GPU, and how NumPy does."""
_HELD = 4
"""Weights, gradients and two moments: arrays of a trained parameter."""


@contextmanager
def exhaustion_named(options: TrainingOptions) -> Iterator[None]:
    """Turn a MemoryError within into ExhaustedError."""
    try:
        yield
    except MemoryError as error:
        message = (
            f"Not enough memory for {options.per_device_train_batch_size} x "
            f"{sample_length(options):,} tokens at once{_asked(error)}. Use a shorter "
            f"--{length_option(options)}, a smaller --per_device_train_batch_size (and more "
            "--gradient_accumulation_steps; while evaluating --per_device_eval_batch_size), "
            "--recompute true, or more processes that share the model; `llm "
            "train plan` with the same options says what fits."
        )
        raise ExhaustedError(message) from error


@contextmanager
def loading_named(folder: Path, config: Mapping[str, Any] | None) -> Iterator[None]:
    """Turn memory that ran out while the model of `folder` is made into ExhaustedError.

    `config` None: it is of no family, and how large it is remains unsaid.
    """
    try:
        yield
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        raise ExhaustedError(_loading_message(folder, config, error)) from error


def _loading_message(folder: Path, config: Mapping[str, Any] | None, error: Exception) -> str:
    free, most = _room()
    here = "" if free is None or most is None else f"; {amount(free)} of {amount(most)} are free"
    return (
        f"Not enough memory to load the model in {folder}{_asked(error)}{here}. {_needs(config)}"
        "Free memory, take a machine with more, share the model between processes on several "
        "machines (--nproc_per_node, --nnodes, --tensor_parallel_degree, --sharding stage3), or "
        "train a smaller one; `llm train plan` with the same options says what each process needs."
    )


def _needs(config: Mapping[str, Any] | None) -> str:
    if config is None:
        return ""
    spec = detect(config)
    count = sum(math.prod(shape) for shape in parameters(spec, read_sizes(spec, config)).values())
    return (
        f"Its {count:,} parameters are {amount(BYTES * count)} of weights in float32, and training "
        f"holds {amount(_HELD * BYTES * count)} with gradients and the optimizer's moments. "
    )


def _room() -> tuple[int | None, int | None]:
    """Bytes that are free, and of how many: this machine's, or what `ulimit -v` leaves of its own.

    A limit counts addresses, so what it leaves is what is not mapped.
    """
    free, whole = available(), total()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or free is None or whole is None or limit > whole:
        return free, whole
    try:
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return free, limit
    return min(free, max(limit - mapped * resource.getpagesize(), 0)), limit


def _asked(error: Exception) -> str:
    found = _ASKED.search(str(error))
    if found is None:
        return ""
    wanted = amount(int(found[1])) if found[1] else found[2]
    return f": {wanted} more were asked for and could not be had"
