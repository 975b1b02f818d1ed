"""A low-rank product added to a weight, `merge_low_rank`, beside NumPy and beside a copy."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
from timing import arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops
from llm_kernels.ops.merge_low_rank import memory_for_sum

ROWS, COLUMNS = 5632, 2048
RANKS = (8, 64)


def numpy_sum(w: np.ndarray, b: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The same with NumPy, some rows at a time."""
    out = np.empty_like(w)
    for start in range(0, ROWS, 128):
        place = slice(start, start + 128)
        out[place] = w[place].astype(np.float32) + b[place] @ a
    return out


def main() -> None:
    """Print one row for each way and rank; the rate counts what is read and what is written."""
    isas, threads = arguments(__doc__ or "")
    w = normal(ROWS, COLUMNS).astype(ml_dtypes.bfloat16)
    out = np.empty_like(w)
    transposed = memory_for_sum((ROWS, COLUMNS), w.dtype, transposed=True)
    results = []

    def measured(way: str, rank: str, call: Callable[[], object]) -> None:
        seconds = best_seconds(call)
        rate = 2 * w.nbytes / seconds / 1e9
        results.append((way, rank, f"{seconds * 1e3:.1f}", f"{rate:.1f}"))

    def ours(isa: str, rank: int, to: np.ndarray) -> Callable[[], object]:
        b, a = normal(ROWS, rank), normal(rank, COLUMNS)
        return lambda: ops.merge_low_rank(w, b, a, out=to, isa=isa, threads=threads)

    measured("copy, NumPy", "", lambda: np.copyto(out, w))
    for rank in RANKS:
        b, a = normal(ROWS, rank), normal(rank, COLUMNS)
        measured("sum, NumPy", str(rank), lambda b=b, a=a: numpy_sum(w, b, a))  # type: ignore[misc]
        for isa in isas:
            measured(f"sum, {isa}", str(rank), ours(isa, rank, out))
            measured(f"sum, transposed, {isa}", str(rank), ours(isa, rank, transposed))
    title = f"bfloat16 [{ROWS}, {COLUMNS}], {threads} threads"
    table(title, ("way", "rank", "ms", "GB/s"), results)


if __name__ == "__main__":
    main()
