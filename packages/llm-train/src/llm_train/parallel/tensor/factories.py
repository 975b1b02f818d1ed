"""The decoder's layers for one rank of a tensor-parallel group."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import paddle
from paddle import nn

from llm_kernels.families import SLOTS, ParameterKey, Sizes
from llm_kernels.paddle.layers import Layers, dense_embedding, dense_linear, unchanged
from llm_train.errors import RecipeError
from llm_train.parallel.groups import Parallel
from llm_train.parallel.tensor.linears import (
    ColumnLinear,
    FewHeadsLinear,
    HeadLinear,
    RowLinear,
    VocabularyEmbedding,
)
from llm_train.parallel.tensor.passing import (
    copied,
    rows_cut,
    rows_gathered,
    rows_shared,
)

_PER_HEAD = frozenset({"q_norm", "k_norm"})
_OF_ALL_ROWS = frozenset({"router", "router_correction", "shared_router"})
_AFTER_BLOCKS = frozenset({"final_norm", "project_out"})


def splits_vocabulary(sizes: Sizes, degree: int) -> bool:
    """Whether `degree` ranks share the rows of embedding and head, or each hold all of them."""
    return degree > 1 and sizes.vocab % degree == 0


def parallel_layers(parallel: Parallel, sizes: Sizes) -> Layers:
    """Layers that hold this rank's share. `sizes` are the whole model's."""
    group, sequence = parallel.tensor, parallel.layout.sequence
    split = splits_vocabulary(sizes, group.nranks)
    plain = Layers(
        column=partial(ColumnLinear, group=group),
        row=partial(RowLinear, group=group),
        embedding=partial(VocabularyEmbedding, group=group) if split else dense_embedding,
        few=partial(FewHeadsLinear, group=group, width=sizes.head_dim),
        head=partial(HeadLinear, group=group) if split else dense_linear,
        degree=group.nranks,
        rank=group.rank,
        part=partial(copied, group=group),
        gather=partial(copied, group=group) if split else unchanged,
    )
    if not sequence:
        return plain
    return replace(
        plain,
        column=partial(ColumnLinear, group=group, sequence=True),
        row=partial(RowLinear, group=group, sequence=True),
        few=partial(FewHeadsLinear, group=group, width=sizes.head_dim, sequence=True),
        part=partial(rows_gathered, group=group),
        scatter=partial(_scattered, group=group),
        gather=partial(rows_gathered if split else rows_shared, group=group),
        inner=plain,
        gather_rows=partial(rows_shared, group=group),
        scatter_rows=partial(rows_cut, group=group),
    )


def mark_partial(decoder: nn.Layer, *, sequence: bool) -> None:
    """Mark the whole parameters of which a rank knows only a part of the gradient as `partial`.

    Norms of single heads; with `sequence` also what works on this rank's rows alone.
    """
    for name, parameter in decoder.named_parameters():
        key = ParameterKey.parse(name)
        if key.slot in _PER_HEAD or (sequence and _works_on_rows(key.slot)):
            parameter.partial = True


def _works_on_rows(slot: str) -> bool:
    rule = SLOTS[slot]
    within = rule.split == "replicated" and rule.scope == "layer" and slot not in _OF_ALL_ROWS
    return within or slot in _AFTER_BLOCKS


def _scattered(hidden: paddle.Tensor, group: Any) -> paddle.Tensor:
    rows = hidden.shape[0] * hidden.shape[1]
    if rows % group.nranks:
        message = (
            f"--sequence_parallel true: {hidden.shape[0]} samples of {hidden.shape[1]} tokens are "
            f"{rows} rows, which {group.nranks} ranks cannot share evenly. Fill batches to a "
            "multiple (--pad_to_multiple_of), or set --sequence_parallel false."
        )
        raise RecipeError(message)
    return rows_cut(hidden.reshape([rows, hidden.shape[2]]), group)
