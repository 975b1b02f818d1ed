"""Attention over keys and values in blocks, and how they get there.

The two caches are arrays of one dtype, which says how numbers are kept: float32; bfloat16
(ml_dtypes); int8, in steps of a scale. Scales are float32: [G] where every key/value head has a
given one, [blocks, G, block_size] where every token and head has its own, measured as it is stored.
"""

from __future__ import annotations

from math import sqrt

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, resolve

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def paged_attention(
    q: npt.NDArray[np.float32],
    key_cache: npt.NDArray[np.generic],
    value_cache: npt.NDArray[np.generic],
    query_start: npt.NDArray[np.int32],
    context_length: npt.NDArray[np.int32],
    block_tables: npt.NDArray[np.int32],
    *,
    key_scales: npt.NDArray[np.float32] | None = None,
    value_scales: npt.NDArray[np.float32] | None = None,
    prefix_length: npt.NDArray[np.int32] | None = None,
    slopes: npt.NDArray[np.float32] | None = None,
    scale: float | None = None,
    window: int | None = None,
    cap: float = 0.0,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Causal attention of S sequences, prefill chunks and decode tokens mixed (arXiv:2309.06180).

    q float32 [T, H, D]; rows query_start[s]:query_start[s + 1] are the last of the
    context_length[s] tokens of sequence s. Keys lie dimension by dimension,
    [blocks, G, D, block_size], values row by row, [blocks, G, block_size, Dv]; block_size is
    a multiple of 16 and G divides H. query_start int32 [S + 1], context_length int32 [S],
    block_tables int32 [S, max_blocks]; sequences may share blocks.

    `prefix_length` int32 [S]: keys that every row of a sequence sees. `slopes` float32 [H]: ALiBi
    (arXiv:2108.12409). `window`: keys a row sees, its own included; None: all. `scale` is
    1 / sqrt(D) where None. `cap` bounds the scaled scores by cap * tanh(score / cap) (0: not).
    Returns float32 [T, H, Dv]. Raises ValueError for blocks outside of the cache and lengths that
    do not fit.
    """
    out: npt.NDArray[np.float32] = extension().paged_attention(
        q,
        _items(key_cache),
        _items(value_cache),
        key_scales,
        value_scales,
        query_start,
        context_length,
        block_tables,
        prefix_length,
        slopes,
        1 / sqrt(max(1, *q.shape[-1:])) if scale is None else scale,
        window or 0,
        cap,
        *resolve(isa, threads),
    )
    return out


def store_key_value(
    key: npt.NDArray[np.float32],
    value: npt.NDArray[np.float32],
    slots: npt.NDArray[np.int32],
    key_cache: npt.NDArray[np.generic],
    value_cache: npt.NDArray[np.generic],
    *,
    key_scales: npt.NDArray[np.float32] | None = None,
    value_scales: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write T tokens into the caches of `paged_attention`, in place.

    key float32 [T, G, D], value float32 [T, G, Dv]; slots int32 [T]: block * block_size + place in
    the block. bfloat16 rounds halves to even. int8 codes are whole steps from -127 to 127; scales
    [G] are read, scales [blocks, G, block_size] are written: the largest number of the token's head
    / 127. Raises ValueError for slots outside of the cache.
    """
    extension().store_key_value(
        key, value, slots, _items(key_cache), _items(value_cache), key_scales, value_scales
    )


def _items(cache: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """bfloat16 as the 16-bit words that the extension knows."""
    return cache.view(np.uint16) if cache.dtype == BFLOAT16 else cache
