"""Which classes a decoder's linears and embeddings are: the seam for parallel training.

The decoder never names a linear class. Training with tensor parallelism hands in column- and
row-parallel layers and says how heads and hidden states are shared; everything else uses `DENSE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import paddle
from paddle import nn

from llm_kernels.errors import ShapeError
from llm_kernels.families import Sizes

LinearFactory: TypeAlias = Callable[[int, int, bool], nn.Layer]
"""(in, out, bias) -> a layer with `weight` [in, out] and, with bias, `bias` [out]."""
EmbeddingFactory: TypeAlias = Callable[[int, int], nn.Layer]
"""(rows, width) -> a layer with `weight` [rows, width]."""
Passing: TypeAlias = Callable[[paddle.Tensor], paddle.Tensor]


def dense_linear(inputs: int, outputs: int, bias: bool) -> nn.Layer:
    """An ordinary linear, [in, out]."""
    return nn.Linear(inputs, outputs, bias_attr=None if bias else False)


def dense_embedding(rows: int, width: int) -> nn.Layer:
    """An ordinary table, [rows, width]."""
    return nn.Embedding(rows, width)


def unchanged(hidden: paddle.Tensor) -> paddle.Tensor:
    """The tensor itself."""
    return hidden


@dataclass(frozen=True)
class Layers:
    """Factories by the split of a slot (see `llm_kernels.families.SLOTS`), and what goes between.

    `degree` is the number of ranks that share the heads, `rank` which of them this is: a column
    layer then returns its own 1/degree of the outputs, a row layer takes its own 1/degree of the
    inputs. Where there are fewer KV heads than ranks, `few` makes the layers of k and v, which
    return the one head of this rank. `head` makes the output projection, which takes what `gather`
    returns.

    `part`: what every rank holds, on its way to what is this rank's own heads. `scatter` stands
    between the embedding and the blocks, `gather` between the last block and the head: ranks that
    share the tokens of the residual have hidden states [B * T / n, E] between the two. `inner` are
    the layers of linears that read and write all of them, between `gather_rows` and `scatter_rows`
    (a mixture of experts).
    """

    column: LinearFactory = dense_linear
    row: LinearFactory = dense_linear
    replicated: LinearFactory = dense_linear
    embedding: EmbeddingFactory = dense_embedding
    few: LinearFactory = dense_linear
    head: LinearFactory | None = None
    degree: int = 1
    rank: int = 0
    part: Passing = unchanged
    scatter: Passing = unchanged
    gather: Passing = unchanged
    inner: Layers | None = None
    gather_rows: Passing = unchanged
    scatter_rows: Passing = unchanged

    def heads(self, sizes: Sizes) -> int:
        """Query heads of this rank. Raises ShapeError where the ranks cannot share them."""
        if sizes.heads % self.degree or not self._shares(sizes):
            message = (
                f"{sizes.heads} query heads and {sizes.kv_heads} KV heads cannot be shared by "
                f"{self.degree} ranks. Use a tensor_parallel_degree that divides the query heads, "
                "and that the KV heads divide or are divided by."
            )
            raise ShapeError(message)
        return sizes.heads // self.degree

    def groups(self, sizes: Sizes) -> int:
        """KV heads of this rank: at least one, which neighbouring ranks then share."""
        return max(sizes.kv_heads // self.degree, 1)

    def key_value(self, sizes: Sizes) -> LinearFactory:
        """What makes the layers of k and v."""
        return self.few if sizes.kv_heads < self.degree else self.column

    def _shares(self, sizes: Sizes) -> bool:
        return not (sizes.kv_heads % self.degree and self.degree % sizes.kv_heads)


DENSE = Layers()
"""One process, ordinary layers."""
