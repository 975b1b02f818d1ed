"""Linears and embeddings that hold one rank's share of their weight.

`sequence`: the ranks share the rows of what comes in (column) or goes out (row), [N / n, E].
Weights are [in, out] here; how they are cut is `llm_kernels.families`' rule.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from llm_train.parallel.tensor.passing import (
    copied,
    rows_gathered,
    rows_summed,
    summed,
)


class ColumnLinear(nn.Linear):
    """Holds columns of the weight: all inputs, this rank's outputs."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool, group: Any, sequence: bool = False
    ) -> None:
        super().__init__(inputs, outputs // group.nranks, bias_attr=None if bias else False)
        self.group, self.sequence = group, sequence
        for parameter in self.parameters():
            parameter.is_distributed = True

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[..., in] -> [..., out / n]; rows are gathered first where they are shared."""
        enter = rows_gathered if self.sequence else copied
        return super().forward(enter(hidden, self.group))


class HeadLinear(ColumnLinear):
    """The output projection; the decoder's `gather` has made its input ready."""

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[..., E] -> [..., V / n]."""
        return F.linear(hidden, self.weight, self.bias)


class RowLinear(nn.Linear):
    """Holds rows of the weight: this rank's inputs, all outputs; the bias is whole."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool, group: Any, sequence: bool = False
    ) -> None:
        super().__init__(inputs // group.nranks, outputs, bias_attr=None if bias else False)
        self.group, self.sequence = group, sequence
        self.weight.is_distributed = True
        if self.bias is not None and sequence:
            self.bias.partial = True

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[..., in / n] -> [..., out], the sum over the ranks; or its rows of this rank."""
        if self.sequence:
            part = paddle.matmul(hidden.reshape([-1, hidden.shape[-1]]), self.weight)
            whole = rows_summed(part, self.group)
        else:
            whole = summed(paddle.matmul(hidden, self.weight), self.group)
        return whole if self.bias is None else whole + self.bias


class FewHeadsLinear(nn.Linear):
    """k or v where there are fewer heads than ranks: whole on every rank, which uses one head."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool,
        group: Any,
        width: int,
        sequence: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, bias_attr=None if bias else False)
        self.group, self.width, self.sequence = group, width, sequence
        heads = outputs // width
        first = group.rank * heads // group.nranks * width
        self.own = slice(first, first + width)
        for parameter in self.parameters():
            # Every rank's gradient is that of its own head.
            parameter.partial = True

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[..., in] -> [..., D]."""
        enter = rows_gathered if self.sequence else copied
        bias = None if self.bias is None else self.bias[self.own]
        return F.linear(enter(hidden, self.group), self.weight[:, self.own], bias)


class VocabularyEmbedding(nn.Layer):
    """Holds rows of the table: this rank's part of the vocabulary."""

    def __init__(self, rows: int, width: int, group: Any) -> None:
        super().__init__()
        self.group, self.rows = group, rows // group.nranks
        self.weight = self.create_parameter([self.rows, width])
        self.weight.is_distributed = True

    def forward(self, ids: paddle.Tensor) -> paddle.Tensor:
        """int64 [B, T] -> [B, T, E]."""
        local = ids - self.group.rank * self.rows
        held = (local >= 0) & (local < self.rows)
        found = F.embedding(paddle.where(held, local, paddle.zeros_like(local)), self.weight)
        return summed(found * held.astype(found.dtype).unsqueeze(-1), self.group)
