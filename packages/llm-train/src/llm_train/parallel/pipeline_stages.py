"""Which blocks each stage of a pipeline holds."""

from __future__ import annotations

from itertools import pairwise


def stage_blocks(blocks: int, stages: int) -> list[range]:
    """The blocks of each stage, in order; the first stages have one more where they do not fit."""
    size, more = divmod(blocks, stages)
    starts = [stage * size + min(stage, more) for stage in range(stages + 1)]
    return [range(first, end) for first, end in pairwise(starts)]
