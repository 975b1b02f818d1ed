"""Memory of one process, as a sum of parts. Everything is float32.

Weights, gradients and moments are counted exactly. Activations are counted as what the decoder
keeps for going backward; their two factors were fitted to measurements (docs/performance.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_kernels.families import (
    FamilySpec,
    ParameterKey,
    Sizes,
    parameters,
    tensor_parallel_axis,
)
from llm_train.parallel.layout import Layout
from llm_train.parallel.pipeline_stages import stage_blocks

BYTES = 4
STARTED = 560 * 1024**2
"""A process that has imported Paddle and paddlenlp and holds nothing."""
_SLACK = 1.05
"""What the allocator holds besides, as a factor of what changes during a step."""


@dataclass(frozen=True)
class Memory:
    """Bytes of the process that needs most."""

    started: int
    weights: int
    gradients: int
    moments: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.started + self.weights + self.gradients + self.moments + self.activations


def memory_of(
    spec: FamilySpec,
    sizes: Sizes,
    layout: Layout,
    *,
    batch: int,
    tokens: int,
    micros: int = 1,
    recompute: bool = False,
) -> Memory:
    """Of a run with micro-batches of [batch, tokens], `micros` of them a step."""
    stages = stage_blocks(sizes.layers, layout.pipeline * layout.chunks)
    needs = [
        _of_stage(spec, sizes, layout, stages[rank :: layout.pipeline], rank,
                  batch, tokens, micros, recompute)
        for rank in range(layout.pipeline)
    ]  # fmt: skip
    return max(needs, key=lambda memory: memory.total)


def _of_stage(
    spec: FamilySpec, sizes: Sizes, layout: Layout, held: list[range], rank: int,
    batch: int, tokens: int, micros: int, recompute: bool,
) -> Memory:  # fmt: skip
    first, last = rank == 0, rank == layout.pipeline - 1
    elements = held_elements(spec, sizes, layout, held, first=first, last=last)
    blocks = [block for part in held for block in part]
    within = max(
        (block_elements(spec, sizes, layout, b, batch, tokens) for b in blocks), default=0.0
    )
    kept = batch * tokens * sizes.hidden / (layout.tensor if layout.sequence else 1)
    at_once = min(micros, layout.pipeline - rank) * (layout.chunks if layout.pipeline > 1 else 1)
    each = len(blocks) * kept + within if recompute else sum(
        block_elements(spec, sizes, layout, b, batch, tokens) for b in blocks
    )  # fmt: skip
    logits = batch * tokens * sizes.vocab / layout.tensor * 3 if last else 0.0
    share = layout.sharding if layout.stage else 1
    whole = elements / layout.sharding if layout.stage == 3 else elements
    most = elements / max(len(blocks), 1) if layout.stage == 3 else 0
    reduced = elements / share if layout.stage >= 2 else elements
    return Memory(
        STARTED,
        int(BYTES * (whole + most)),
        int(BYTES * reduced),
        int(BYTES * 2 * elements / share),
        int(BYTES * _SLACK * (each * max(at_once, 1) + logits)),
    )


def held_elements(
    spec: FamilySpec,
    sizes: Sizes,
    layout: Layout,
    held: list[range],
    *,
    first: bool,
    last: bool,
) -> int:
    """Elements of the parameters of one stage, of one rank of its tensor group."""
    count = 0
    for key, shape in parameters(spec, sizes).items():
        if _is_here(key, sizes, held, first=first, last=last):
            split = tensor_parallel_axis(key, sizes, layout.tensor) is not None
            count += math.prod(shape) // (layout.tensor if split else 1)
    return count


_AT_END = frozenset({"final_norm", "project_out", "head"})


def _is_here(
    key: ParameterKey, sizes: Sizes, held: list[range], *, first: bool, last: bool
) -> bool:
    if key.layer is not None:
        return any(key.layer in part for part in held)
    if key.slot in _AT_END or (key.slot == "embed" and sizes.tied and last):
        return last or (key.slot == "embed" and first)
    return first


def block_elements(
    spec: FamilySpec, sizes: Sizes, layout: Layout, index: int, batch: int, tokens: int
) -> float:
    """Elements that a block keeps: rows of several widths, and scores of every pair of tokens."""
    share, rows = layout.tensor, batch * tokens
    heads = sizes.heads / share
    wide = (2 * sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim / share
    if spec.moe is not None and index not in sizes.dense_layers:
        mlp = sizes.expert_mlp * sizes.experts_per_token + sizes.shared_mlp
    else:
        mlp = sizes.mlp
    inner = (3 if spec.mlp.gated else 2) * mlp / share
    residual = 6 * sizes.hidden / (share if layout.sequence else 1)
    return rows * (residual + 2 * wide + inner) + 2.5 * batch * heads * tokens * tokens
