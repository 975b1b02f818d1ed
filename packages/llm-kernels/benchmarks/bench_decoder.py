"""The native decoder step of a model of about one billion parameters, in int4 and int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from timing import RNG, arguments, best_seconds

from llm_cli.console import table
from llm_kernels.decoder import NativeDecoder, StepBatch, Weight
from llm_kernels.families import FAMILIES, ParameterKey, Sizes, parameters
from llm_kernels.weights import Int4Weight, Int8Weight

SPEC = FAMILIES["llama"]
SIZES = Sizes(
    hidden=2048,
    layers=16,
    heads=32,
    kv_heads=8,
    head_dim=64,
    mlp=8192,
    vocab=32000,
    eps=1e-5,
    max_positions=4096,
)
BLOCK, BLOCKS_EACH = 64, 16
# (sequences, new tokens of each, context of each)
STEPS = ((1, 1, 64), (1, 1, 1000), (4, 1, 256), (16, 1, 256), (1, 128, 128), (1, 512, 512))


def int4(rows: int, columns: int) -> Int4Weight:
    """A random weight in groups of 128."""
    packed = RNG.integers(0, 256, (rows, columns // 2), dtype=np.uint8)
    return Int4Weight(packed, np.full((rows, columns // 128), 0.004, np.float32), None, 128)


def int8(rows: int, columns: int) -> Int8Weight:
    """A random weight with a scale a row."""
    codes = RNG.integers(-127, 128, (rows, columns), dtype=np.int8)
    return Int8Weight(codes, np.full((rows, 1), 0.0003, np.float32))


def step(sequences: int, rows: int, context: int) -> StepBatch:
    """The last `rows` tokens of `sequences` sequences, the logits of the last token of each."""
    positions = np.tile(np.arange(context - rows, context), sequences)
    blocks = np.arange(sequences * BLOCKS_EACH).reshape(sequences, BLOCKS_EACH)
    return StepBatch(
        token_ids=(positions % SIZES.vocab).astype(np.int32),
        positions=positions.astype(np.int32),
        query_start=(np.arange(sequences + 1) * rows).astype(np.int32),
        context_length=np.full(sequences, context, np.int32),
        block_tables=blocks.astype(np.int32),
        logits_rows=((np.arange(sequences) + 1) * rows - 1).astype(np.int32),
    )


def decoder(make: Callable[[int, int], Weight], isa: str, threads: int) -> NativeDecoder:
    """A model whose linears but the head are made by `make`."""
    shapes = parameters(SPEC, SIZES)

    def weight(key: ParameterKey) -> Weight:
        shape = shapes[key]
        if len(shape) == 2 and key.layer is not None:
            return make(*shape)
        return np.full(shape, 1.0 if len(shape) == 1 else 0.01, np.float32)

    return NativeDecoder(SPEC, SIZES, weight, num_blocks=16 * BLOCKS_EACH, threads=threads, isa=isa)


def main() -> None:
    """Print one row for each instruction set, weight and step."""
    isas, threads = arguments(__doc__ or "")
    results = []
    for isa in isas:
        for name, make in (("int4", int4), ("int8", int8)):
            model = decoder(make, isa, threads)
            for shape in STEPS:
                batch = step(*shape)
                seconds = best_seconds(lambda model=model, batch=batch: model.step(batch), 1.0)  # type: ignore[misc]
                tokens = shape[0] * shape[1] / seconds
                read = model.weight_bytes / seconds / 1e9
                row = (isa, name, *shape, f"{seconds * 1e3:.1f}", f"{tokens:.1f}", f"{read:.1f}")
                results.append(row)
    columns = ("isa", "linears", "sequences", "rows", "context", "ms", "tokens/s", "weights GB/s")
    table(f"decoder step, {threads} threads", columns, results)


if __name__ == "__main__":
    main()
