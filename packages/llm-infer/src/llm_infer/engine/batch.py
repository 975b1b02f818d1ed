"""From scheduled chunks to the arrays that a decoder reads; a decoder as the engine sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.sequence import Chunk
from llm_kernels.decoder import StepBatch


class StepRunner(Protocol):
    """A decoder with a paged cache: reads tokens, keeps their keys and values, gives logits."""

    def step(self, batch: StepBatch) -> NDArray[np.float32]:
        """Logits, float32 [R, V], of the rows that `batch.logits_rows` names."""
        ...

    def copy_blocks(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values of all layers, block to block, one pair after the other."""
        ...


def adapter_of(batch: StepBatch, index: int) -> int:
    """The number of the adapter of sequence `index`, -1 for none."""
    return -1 if batch.adapters is None else int(batch.adapters[index])


def build_batch(chunks: Sequence[Chunk]) -> StepBatch:
    """Flatten `chunks` (S of them, T tokens); logits are wanted of the last `logits` rows of each.

    All arrays are int32; unused entries of the block tables [S, widest] are 0.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    block_positions: list[int] = []
    starts = [0]
    logits_rows: list[int] = []
    width = max(len(chunk.sequence.blocks) for chunk in chunks)
    tables = np.zeros((len(chunks), width), np.int32)
    for row, chunk in enumerate(chunks):
        end = chunk.start + chunk.count
        sequence = chunk.sequence
        token_ids += chunk.token_ids
        if sequence.positions is None:
            positions += range(sequence.ahead + chunk.start, sequence.ahead + end)
        else:
            first, second = sequence.positions.span(chunk.start, end)
            positions += first
            block_positions += second
        starts.append(len(token_ids))
        tables[row, : len(sequence.blocks)] = sequence.blocks
        logits_rows += range(len(token_ids) - chunk.logits, len(token_ids))
    batch = StepBatch(
        token_ids=np.array(token_ids, np.int32),
        positions=np.array(positions, np.int32),
        query_start=np.array(starts, np.int32),
        context_length=np.array(
            [chunk.sequence.ahead + chunk.start + chunk.count for chunk in chunks], np.int32
        ),
        block_tables=tables,
        logits_rows=np.array(logits_rows, np.int32),
        block_positions=np.array(block_positions, np.int32) if block_positions else None,
        prefix_length=_prefixes(chunks) if block_positions else None,
    )
    lengths = [chunk.sequence.rope_length for chunk in chunks]
    if any(lengths):
        batch.rope_length = np.array(lengths, np.int32)
    adapters = [chunk.sequence.adapter for chunk in chunks]
    if any(adapter >= 0 for adapter in adapters):
        batch.adapters = np.array(adapters, np.int32)
    return batch


def _prefixes(chunks: Sequence[Chunk]) -> NDArray[np.int32]:
    return np.array([chunk.sequence.prefix for chunk in chunks], np.int32)
