"""Attention over keys and values in blocks."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve


def paged_attention(
    q: npt.NDArray[np.float32],
    key_cache: npt.NDArray[np.float32],
    value_cache: npt.NDArray[np.float32],
    query_start: npt.NDArray[np.int32],
    context_length: npt.NDArray[np.int32],
    block_tables: npt.NDArray[np.int32],
    *,
    prefix_length: npt.NDArray[np.int32] | None = None,
    slopes: npt.NDArray[np.float32] | None = None,
    scale: float | None = None,
    window: int | None = None,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Causal attention of S sequences, prefill chunks and decode tokens mixed (arXiv:2309.06180).

    q float32 [T, H, D]; rows query_start[s]:query_start[s + 1] are the last of the
    context_length[s] tokens of sequence s. Keys lie dimension by dimension, float32
    [blocks, G, D, block_size], values row by row, float32 [blocks, G, block_size, D]; block_size is
    a multiple of 16 and G divides H. query_start int32 [S + 1], context_length int32 [S],
    block_tables int32 [S, max_blocks].

    `prefix_length` int32 [S]: keys that every row of a sequence sees. `slopes` float32 [H]: ALiBi
    (arXiv:2108.12409). `window`: keys a row sees, its own included; None: all. `scale` is
    1 / sqrt(D) where None. Returns float32 [T, H, D]. Raises ValueError for blocks outside of the
    cache and lengths that do not fit.
    """
    out: npt.NDArray[np.float32] = extension().paged_attention(
        q,
        key_cache,
        value_cache,
        query_start,
        context_length,
        block_tables,
        prefix_length,
        slopes,
        1 / sqrt(max(1, *q.shape[-1:])) if scale is None else scale,
        window or 0,
        *resolve(isa, threads),
    )
    return out
