"""Cross entropy and accuracy over a vocabulary that the ranks of a group share."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.distributed as dist
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from llm_train.parallel.collectives import all_gather, all_reduce


class _SummedLoss(PyLayer):
    """-sum of log softmax at the labels; the logits of a row lie on all ranks."""

    @staticmethod
    def forward(
        ctx: Any, logits: paddle.Tensor, labels: paddle.Tensor, group: Any, ignored: int
    ) -> paddle.Tensor:
        width = logits.shape[-1]
        top = all_reduce(logits.max(axis=-1, keepdim=True), group, dist.ReduceOp.MAX)
        powers = paddle.exp(logits - top)
        sums = all_reduce(powers.sum(axis=-1, keepdim=True), group)
        local = labels - group.rank * width
        held = (local >= 0) & (local < width) & (labels != ignored)
        place = paddle.where(held, local, paddle.zeros_like(local))
        mine = held.astype(logits.dtype).unsqueeze(-1)
        at_label = paddle.take_along_axis(logits - top, place.unsqueeze(-1), axis=-1) * mine
        all_reduce(at_label, group)
        counts = (labels != ignored).astype(logits.dtype).unsqueeze(-1)
        ctx.save_for_backward(powers / sums, place, mine, counts)
        return ((paddle.log(sums) - at_label) * counts).sum()

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        shares, place, mine, counts = ctx.saved_tensor()
        at_label = F.one_hot(place, shares.shape[-1]) * mine
        return (shares - at_label) * counts * gradient


def parallel_summed_loss(
    logits: paddle.Tensor, labels: paddle.Tensor, group: Any, ignored: int
) -> paddle.Tensor:
    """Sum of the cross entropies of this rank's part [..., V / n] of the logits, on every rank.

    `labels` int64 of as many tokens; `ignored` ones count nothing.
    """
    rows = logits.reshape([-1, logits.shape[-1]]).astype("float32")
    return _SummedLoss.apply(rows, labels.reshape([-1]), group, ignored)


def parallel_hits(logits: paddle.Tensor, labels: paddle.Tensor, group: Any, ignored: int) -> int:
    """How many labels that count are the most likely token of the whole vocabulary."""
    rows = logits.reshape([-1, logits.shape[-1]]).astype("float32")
    flat = labels.reshape([-1])
    best = rows.max(axis=-1, keepdim=True)
    place = paddle.argmax(rows, axis=-1, keepdim=True) + group.rank * rows.shape[-1]
    tops, places = all_gather(best, group, axis=-1), all_gather(place, group, axis=-1)
    owner = paddle.argmax(tops, axis=-1, keepdim=True)
    guess = paddle.take_along_axis(places, owner, axis=-1).squeeze(-1)
    return int(((guess == flat) & (flat != ignored)).astype("int64").sum())
