"""Ops that work row by row: rms_norm, layer_norm, activation, rope."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from timing import arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops

WIDTH, HEADS, DIM = 4096, 32, 128
ROWS = (1, 512)


def calls(rows: int, isa: str, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Every op as a call without arguments, over `rows` rows."""
    where = {"isa": isa, "threads": threads}
    x, up, weight = normal(rows, WIDTH), normal(rows, WIDTH), normal(WIDTH)
    heads = normal(rows, HEADS, DIM)
    cos, sin = normal(rows, DIM // 2), normal(rows, DIM // 2)
    return {
        "rms_norm": lambda: ops.rms_norm(x, weight, 1e-5, **where),  # type: ignore[arg-type]
        "layer_norm": lambda: ops.layer_norm(x, weight, weight, 1e-5, **where),  # type: ignore[arg-type]
        "activation silu, gated": lambda: ops.activation("silu", x, up, **where),  # type: ignore[arg-type]
        "activation gelu": lambda: ops.activation("gelu", x, **where),  # type: ignore[arg-type]
        "rope half": lambda: ops.rope(heads, cos, sin, "half", **where),  # type: ignore[arg-type]
        "rope interleaved": lambda: ops.rope(heads, cos, sin, "interleaved", **where),  # type: ignore[arg-type]
    }


def main() -> None:
    """Print one row for each instruction set, op and number of rows."""
    isas, threads = arguments(__doc__ or "")
    results = []
    for isa in isas:
        for rows in ROWS:
            for name, call in calls(rows, isa, threads).items():
                seconds = best_seconds(call, 0.1)
                rate = 8 * rows * WIDTH / seconds / 1e9
                results.append((isa, name, rows, f"{seconds * 1e6:.0f}", f"{rate:.1f}"))
    columns = ("isa", "op", "rows", "us", "GB/s")
    table(f"rows of {WIDTH} floats, {threads} threads", columns, results)


if __name__ == "__main__":
    main()
