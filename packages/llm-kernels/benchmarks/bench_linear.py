"""Linear layers: bandwidth with few rows, floating-point rate with many.

Several copies of the weight are visited in turn, so that few rows measure memory, not cache.
"""

from __future__ import annotations

from timing import arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops
from llm_kernels.weights import Int4Weight, Int8Weight

OUTPUTS, INPUTS, COPIES = 4096, 4096, 4
ROWS = (1, 4, 16, 64, 256)


def main() -> None:
    """Print one row for each instruction set, weight and number of rows."""
    isas, threads = arguments(__doc__ or "")
    dense = normal(OUTPUTS, INPUTS)
    weights = {
        "float32": dense,
        "int8": Int8Weight.from_dense(dense),
        "int4, groups of 128": Int4Weight.from_dense(dense, 128),
        "int4, groups of 32": Int4Weight.from_dense(dense, 32),
        "int4, zero points": Int4Weight.from_dense(dense, 128, symmetric=False),
    }
    results = []
    for isa in isas:
        for name, weight in weights.items():
            packed = [ops.pack(weight, isa=isa) for _ in range(COPIES)]
            for rows in ROWS:
                x = normal(rows, INPUTS)

                def call(packed: list[ops.PackedLinear] = packed, x: object = x) -> None:
                    for one in packed:
                        one(x, threads=threads)  # type: ignore[arg-type]

                seconds = best_seconds(call) / COPIES
                rate = 2 * OUTPUTS * INPUTS * rows / seconds / 1e9
                read = packed[0].nbytes / seconds / 1e9
                results.append(
                    (isa, name, rows, f"{seconds * 1e3:.2f}", f"{read:.1f}", f"{rate:.0f}")
                )
    title = f"linear {OUTPUTS} x {INPUTS}, {threads} threads"
    table(title, ("isa", "weight", "rows", "ms", "weights GB/s", "GFLOP/s"), results)


if __name__ == "__main__":
    main()
