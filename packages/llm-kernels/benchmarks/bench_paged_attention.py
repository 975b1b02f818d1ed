"""Paged attention in every dtype of the cache: decode tokens over long contexts, prefill chunks.

Processor time of the whole process stands beside the time: with one thread it tells what the work
costs where other programs take turns on the processors.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import ml_dtypes
import numpy as np
import numpy.typing as npt
from timing import RNG, arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops

HEADS, GROUPS, DIM, BLOCK = 32, 8, 128, 64
# (sequences, rows of each, context of each)
SHAPES = ((1, 1, 1024), (1, 1, 8192), (16, 1, 1024), (1, 512, 512), (1, 256, 4096))
DTYPES = ("float32", "bfloat16", "int8")


def caches(
    blocks: int, dtype: str
) -> tuple[tuple[npt.NDArray[np.generic], ...], dict[str, npt.NDArray[np.float32]]]:
    """Random keys and values of `blocks` blocks, and the scales of int8."""
    shapes = ((blocks, GROUPS, DIM, BLOCK), (blocks, GROUPS, BLOCK, DIM))
    if dtype == "int8":
        scales = np.full((blocks, GROUPS, BLOCK), 1 / 42, np.float32)
        codes = tuple(RNG.integers(-127, 128, shape, dtype=np.int8) for shape in shapes)
        return codes, {"key_scales": scales, "value_scales": scales}
    item = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
    return tuple(normal(*shape).astype(item) for shape in shapes), {}


def processor_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """The least processor time of the process for a call."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return min(times)


def measure(shape: tuple[int, int, int], dtype: str, isa: str, threads: int) -> tuple[object, ...]:
    """One row of the table."""
    sequences, rows, context = shape
    each = context // BLOCK
    held, scales = caches(sequences * each, dtype)
    q = normal(sequences * rows, HEADS, DIM)
    start = np.arange(sequences + 1, dtype=np.int32) * rows
    lengths = np.full(sequences, context, np.int32)
    blocks = np.arange(sequences * each, dtype=np.int32).reshape(sequences, each)

    def call() -> None:
        ops.paged_attention(q, *held, start, lengths, blocks, isa=isa, threads=threads, **scales)

    seconds, busy = best_seconds(call), processor_seconds(call)
    read = sum(array.nbytes for array in held) / seconds / 1e9
    seen = sequences * sum(range(context - rows + 1, context + 1))
    rate = 4 * seen * HEADS * DIM / 1e9
    figures = (f"{seconds * 1e3:.2f}", f"{read:.1f}", f"{rate / seconds:.0f}", f"{rate / busy:.0f}")
    return (isa, dtype, *shape, *figures)


def main() -> None:
    """Print one row for each instruction set, dtype and shape."""
    isas, threads = arguments(__doc__ or "")
    results = [
        measure(shape, dtype, isa, threads) for isa in isas for shape in SHAPES for dtype in DTYPES
    ]
    columns = ("isa", "cache", "sequences", "rows", "context", "ms", "cache GB/s", "GFLOP/s")
    title = f"paged_attention {HEADS} over {GROUPS} heads of {DIM}, {threads} threads"
    table(title, (*columns, "GFLOP per processor second"), results)


if __name__ == "__main__":
    main()
