"""Which classes a decoder's linears and embeddings are: the seam for parallel training.

The decoder never names a linear class. Training with tensor parallelism hands in Fleet's column-
and row-parallel layers and their degree; everything else uses `DENSE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from paddle import nn

LinearFactory: TypeAlias = Callable[[int, int, bool], nn.Layer]
"""(in, out, bias) -> a layer with `weight` [in, out] and, with bias, `bias` [out]."""
EmbeddingFactory: TypeAlias = Callable[[int, int], nn.Layer]
"""(rows, width) -> a layer with `weight` [rows, width]."""


def dense_linear(inputs: int, outputs: int, bias: bool) -> nn.Layer:
    """An ordinary linear, [in, out]."""
    return nn.Linear(inputs, outputs, bias_attr=None if bias else False)


def dense_embedding(rows: int, width: int) -> nn.Layer:
    """An ordinary table, [rows, width]."""
    return nn.Embedding(rows, width)


@dataclass(frozen=True)
class Layers:
    """Factories by the split of a slot (see `llm_kernels.families.SLOTS`).

    `degree` is the number of ranks that share the heads: a column layer then returns its own
    1/degree of the outputs, a row layer takes its own 1/degree of the inputs.
    """

    column: LinearFactory = dense_linear
    row: LinearFactory = dense_linear
    replicated: LinearFactory = dense_linear
    embedding: EmbeddingFactory = dense_embedding
    degree: int = 1


DENSE = Layers()
"""One process, ordinary layers."""
