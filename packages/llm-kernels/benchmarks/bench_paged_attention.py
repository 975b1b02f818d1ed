"""Paged attention: decode tokens over long contexts, and prefill chunks."""

from __future__ import annotations

import numpy as np
from timing import arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops

HEADS, GROUPS, DIM, BLOCK = 32, 8, 128, 64
# (sequences, rows of each, context of each)
SHAPES = ((1, 1, 1024), (1, 1, 8192), (16, 1, 1024), (1, 512, 512), (1, 256, 4096))


def main() -> None:
    """Print one row for each instruction set and shape."""
    isas, threads = arguments(__doc__ or "")
    results = []
    for isa in isas:
        for sequences, rows, context in SHAPES:
            each = context // BLOCK
            keys = normal(sequences * each, GROUPS, DIM, BLOCK)
            values = normal(sequences * each, GROUPS, BLOCK, DIM)
            q = normal(sequences * rows, HEADS, DIM)
            start = np.arange(sequences + 1, dtype=np.int32) * rows
            lengths = np.full(sequences, context, np.int32)
            blocks = np.arange(sequences * each, dtype=np.int32).reshape(sequences, each)

            def call(
                arrays: tuple[object, ...] = (q, keys, values, start, lengths, blocks),
                isa: str = isa,
            ) -> None:
                ops.paged_attention(*arrays, isa=isa, threads=threads)  # type: ignore[arg-type]

            seconds = best_seconds(call)
            read = (keys.nbytes + values.nbytes) / seconds / 1e9
            seen = sequences * sum(range(context - rows + 1, context + 1))
            rate = 4 * seen * HEADS * DIM / seconds / 1e9
            shape = (sequences, rows, context)
            results.append((isa, *shape, f"{seconds * 1e3:.2f}", f"{read:.1f}", f"{rate:.0f}"))
    columns = ("isa", "sequences", "rows", "context", "ms", "cache GB/s", "GFLOP/s")
    table(
        f"paged_attention {HEADS} over {GROUPS} heads of {DIM}, {threads} threads", columns, results
    )


if __name__ == "__main__":
    main()
