"""Operations between what all ranks hold and what is one rank's own, with their gradients.

Each is the transpose of another: `copied` of `summed`, `rows_gathered` of `rows_summed`. Where all
ranks go on with the same computation, a gradient arrives whole on each of them, and `rows_shared`
and `rows_cut` take or collect rows of it without adding anything up.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle.autograd import PyLayer

from llm_train.parallel.collectives import all_gather, all_reduce, reduce_scatter


class _Copied(PyLayer):
    @staticmethod
    def forward(ctx: Any, whole: paddle.Tensor, group: Any) -> paddle.Tensor:
        ctx.group = group
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return all_reduce(gradient.clone(), ctx.group)


class _Summed(PyLayer):
    @staticmethod
    def forward(_: Any, part: paddle.Tensor, group: Any) -> paddle.Tensor:
        return all_reduce(part.clone(), group)

    @staticmethod
    def backward(_: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return gradient.clone()


class _RowsGathered(PyLayer):
    @staticmethod
    def forward(ctx: Any, rows: paddle.Tensor, group: Any) -> paddle.Tensor:
        ctx.group = group
        return all_gather(rows, group)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return reduce_scatter(gradient, ctx.group)


class _RowsSummed(PyLayer):
    @staticmethod
    def forward(ctx: Any, part: paddle.Tensor, group: Any) -> paddle.Tensor:
        ctx.group = group
        return reduce_scatter(part, group)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return all_gather(gradient, ctx.group)


class _RowsShared(PyLayer):
    @staticmethod
    def forward(ctx: Any, rows: paddle.Tensor, group: Any) -> paddle.Tensor:
        ctx.group = group
        return all_gather(rows, group)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return _own_rows(gradient, ctx.group)


class _RowsCut(PyLayer):
    @staticmethod
    def forward(ctx: Any, whole: paddle.Tensor, group: Any) -> paddle.Tensor:
        ctx.group = group
        return _own_rows(whole, group)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        return all_gather(gradient, ctx.group)


def copied(whole: paddle.Tensor, group: Any) -> paddle.Tensor:
    """The tensor itself; its gradient is the sum of all ranks'."""
    return _Copied.apply(whole, group)


def summed(part: paddle.Tensor, group: Any) -> paddle.Tensor:
    """The sum of all ranks' tensors, on every rank."""
    return _Summed.apply(part, group)


def rows_gathered(rows: paddle.Tensor, group: Any) -> paddle.Tensor:
    """All ranks' rows, [N / n, ...] -> [N, ...], for work that is divided among the ranks."""
    return _RowsGathered.apply(rows, group)


def rows_summed(part: paddle.Tensor, group: Any) -> paddle.Tensor:
    """This rank's rows of the sum of all ranks' tensors, [N, ...] -> [N / n, ...]."""
    return _RowsSummed.apply(part, group)


def rows_shared(rows: paddle.Tensor, group: Any) -> paddle.Tensor:
    """All ranks' rows, [N / n, ...] -> [N, ...], for work that every rank does alike."""
    return _RowsShared.apply(rows, group)


def rows_cut(whole: paddle.Tensor, group: Any) -> paddle.Tensor:
    """This rank's rows of what all ranks hold alike, [N, ...] -> [N / n, ...]."""
    return _RowsCut.apply(whole, group)


def _own_rows(whole: paddle.Tensor, group: Any) -> paddle.Tensor:
    rows = whole.shape[0] // group.nranks
    return whole[group.rank * rows : (group.rank + 1) * rows].clone()
