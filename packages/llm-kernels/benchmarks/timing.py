"""Timing of one call, and arrays to time with; shared by the scripts of this folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llm_kernels import native

RNG = np.random.default_rng(0)


def best_seconds(call: Callable[[], object], budget: float = 0.5) -> float:
    """The shortest of the repetitions that fit in `budget` seconds, at least three."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < budget:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def normal(*shape: int) -> npt.NDArray[np.float32]:
    """Standard normal float32 of that shape."""
    return RNG.standard_normal(shape, dtype=np.float32)


def arguments(description: str) -> tuple[list[str], int]:
    """`--isa` (repeatable; default: the best) and `--threads` of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--isa", action="append", choices=native.runnable_isas())
    parser.add_argument("--threads", type=int, default=native.default_threads())
    read = parser.parse_args()
    return read.isa or [native.selected_isa()], read.threads
