"""Packed rows cut between their samples, where attention over whole rows would cost more.

Attention is computed for every pair of tokens of a row, though samples of a row do not see each
other: a row of 2048 tokens with 17 samples computes 17 times the pairs that count. So the samples
of a batch are packed again, into more and shorter rows; the losses are those of the packed rows.

    arrange = rearrangement(model)
    batch = arrange(batch)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from paddle import nn

from llm_data.packing import pack
from llm_train.forecast.speed import Pace, micro_cost
from llm_train.loop.loss import IGNORED
from llm_train.loop.precision import flashes
from llm_train.parallel.layout import ONE

Arrange: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Piece: TypeAlias = tuple[int, int, int]
"""Row of a sample, its first place there, and the place behind its last."""
_RELATIVE = Pace(product=128.0, stream=1.0, call=0.0)
"""Operations of a product in the time of an element of a softmax; see `llm_train.forecast.speed`.
Processors and GPUs differ from it by less than what is decided by it."""
_MULTIPLE = 16
"""Rows are of so many tokens or a multiple, which ranks that share a row's tokens can divide."""


def rearrangement(model: nn.Layer) -> Arrange:
    """What cuts the batches of a model; batches of others than ours stay as they are.

    So do those of a model with a router's loss, which counts filling too, and of attention that
    leaves out what samples do not see of each other.
    """
    spec, sizes = getattr(model, "spec", None), getattr(model, "sizes", None)
    counts_filling = getattr(model, "router_loss", None) is not None
    if spec is None or sizes is None or counts_filling or flashes(model):
        return lambda batch: batch

    def cost(rows: int, tokens: int) -> float:
        made = micro_cost(spec, sizes, ONE, batch=rows, tokens=tokens, recompute=False)
        return made.seconds(_RELATIVE)

    return lambda batch: shorter_rows(batch, cost)


def shorter_rows(batch: Mapping[str, Any], cost: Callable[[int, int], float]) -> Mapping[str, Any]:
    """`batch`, or its samples in rows of another length where `cost(rows, tokens)` is less.

    Arrays int64 [B, T] become [B', T'], filled on the right; what belongs together stays together.
    A batch without `segment_ids` is not packed, and stays as it is.
    """
    if "segment_ids" not in batch:
        return batch
    arrays = {name: np.asarray(values) for name, values in batch.items()}
    pieces = pieces_of(arrays)
    rows, tokens = arrays["segment_ids"].shape
    best, plan = cost(rows, tokens), None
    lengths = np.array([end - begin for _, begin, end in pieces])
    for width in _widths(int(lengths.max()), tokens):
        found = pack(lengths, width)
        price = cost(len(found), width)
        if price < best:
            best, plan = price, (found, width)
    if plan is None:
        return batch
    return _arranged(arrays, [[pieces[i] for i in row] for row in plan[0]], plan[1])


def pieces_of(arrays: Mapping[str, np.ndarray]) -> list[Piece]:
    """The samples of packed rows, without filling."""
    segments = arrays["segment_ids"]
    real = arrays.get("attention_mask", np.ones_like(segments)) != 0
    found: list[Piece] = []
    for row in range(len(segments)):
        count = int(real[row].sum())
        cuts = np.flatnonzero(np.diff(segments[row, :count])) + 1
        borders = [0, *cuts.tolist(), count]
        found += [(row, a, b) for a, b in pairwise(borders) if b > a]
    return found


def _widths(longest: int, most: int) -> list[int]:
    """Lengths of rows to look at: the longest sample's, and doubled as long as they are shorter."""
    width = -(-longest // _MULTIPLE) * _MULTIPLE
    found = []
    while width < most:
        found.append(width)
        width *= 2
    return found


def _arranged(
    arrays: Mapping[str, np.ndarray], rows: list[list[Piece]], width: int
) -> dict[str, np.ndarray]:
    shape = (len(rows), width)
    made = {
        name: np.full(shape, IGNORED if name == "labels" else 0, values.dtype)
        for name, values in arrays.items()
    }
    made["attention_mask"] = np.zeros(shape, np.int64)
    for number, row in enumerate(rows):
        place = 0
        for segment, (source, begin, end) in enumerate(row, start=1):
            target = slice(place, place + end - begin)
            for name, values in arrays.items():
                made[name][number, target] = values[source, begin:end]
            made["segment_ids"][number, target] = segment
            made["attention_mask"][number, target] = 1
            place = target.stop
    if all(len(row) == 1 for row in rows):
        # Causality hides the filling.
        del made["segment_ids"]
    return made
