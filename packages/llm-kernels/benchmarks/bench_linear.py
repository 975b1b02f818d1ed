"""Linear layers: bandwidth with few rows, floating-point rate with many.

Several copies of the weight are visited in turn, so that few rows measure memory, not cache.
"""

from __future__ import annotations

import ml_dtypes
from timing import arguments, best_seconds, normal

from llm_cli.console import table
from llm_kernels import ops
from llm_kernels.ops.linear import LinearWeight
from llm_kernels.weights import (
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    RoundedInputs,
)

OUTPUTS, INPUTS, COPIES = 4096, 4096, 4
ROWS = (1, 4, 16, 64, 256)


def main() -> None:
    """Print one row for each instruction set, weight and number of rows."""
    isas, threads = arguments(__doc__ or "")
    dense = normal(OUTPUTS, INPUTS)
    by_block = InputRounding("int8_block")
    weights: dict[str, LinearWeight] = {
        "float32": dense,
        "bfloat16": dense.astype(ml_dtypes.bfloat16),
        "float8": Float8Weight.from_dense(dense),
        "int8": Int8Weight.from_dense(dense),
        "int8, int8 inputs": RoundedInputs(Int8Weight.from_dense(dense), by_block),
        "int4, int8 inputs, groups of 128": RoundedInputs(
            Int4Weight.from_dense(dense, 128), by_block
        ),
        "int4, int8 inputs, groups of 32": RoundedInputs(
            Int4Weight.from_dense(dense, 32), by_block
        ),
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
