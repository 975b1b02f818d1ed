"""What a cache of keys and values keeps of float32 numbers."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from llm_kernels.reference.attention import bfloat16

CacheDtype: TypeAlias = Literal["float32", "bfloat16", "int8"]
MOST_CODE = 127


def quantize_cache(
    x: np.ndarray, scales: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Heads x [..., D] as int8 codes [..., D] and the scales [...] that they count in.

    `scales` float32, of a shape that broadcasts to [...]: given ones; None: the largest number of
    each head / 127 (1 where all are 0). Codes are the nearest whole steps, -127 to 127.
    """
    x = x.astype(np.float32)
    if scales is None:
        most = np.abs(x).max(axis=-1)
        scales = np.where(most > 0, most / np.float32(MOST_CODE), np.float32(1))
    scales = np.broadcast_to(scales.astype(np.float32), x.shape[:-1])
    steps = np.clip(x / scales[..., None], -MOST_CODE, MOST_CODE)
    return np.rint(steps).astype(np.int8), scales


def dequantize_cache(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Codes [..., D] with scales that broadcast to [...] as float32 [..., D]."""
    return codes.astype(np.float32) * scales.astype(np.float32)[..., None]


def kept(x: np.ndarray, dtype: CacheDtype, scales: np.ndarray | None = None) -> np.ndarray:
    """What a cache of that dtype gives back of heads x [..., D]: float32 [..., D].

    `scales` as for `quantize_cache`; only int8 looks at them.
    """
    if dtype == "int8":
        return dequantize_cache(*quantize_cache(x, scales))
    return bfloat16(x) if dtype == "bfloat16" else x.astype(np.float32)
