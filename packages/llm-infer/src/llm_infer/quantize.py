"""Weight-only quantization while loading: linears of the layers, rounded to nearest.

Embedding, head, norms and biases stay as they are; so does what a checkpoint holds quantized
already. int8: one scale a row. int4: symmetric, groups of 128 inputs that share a scale (64, 32, or
one a row where 128 does not divide the width).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_kernels.families import SLOTS, ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight

Weight = np.ndarray | Int4Weight | Int8Weight
GetWeight = Callable[[ParameterKey], Weight]

GROUP_SIZES = (128, 64, 32)


def quantizable(key: ParameterKey) -> bool:
    """Whether `key` is a linear weight of a layer."""
    return SLOTS[key.slot].adaptable and key.leaf == "weight"


def to_int8(dense: np.ndarray) -> Int8Weight:
    """A weight [N, K] as int8 with one scale a row."""
    return Int8Weight.from_dense(dense)


def to_int4(dense: np.ndarray) -> Int4Weight:
    """A weight [N, K] as int4 in the largest group of GROUP_SIZES that divides K."""
    width = dense.shape[1]
    return Int4Weight.from_dense(dense, next((g for g in GROUP_SIZES if width % g == 0), None))


ROUNDING: dict[str, Callable[[np.ndarray], Weight]] = {
    "weight_only_int8": to_int8,
    "weight_only_int4": to_int4,
}


def rounded(weight: GetWeight, quant_type: str) -> GetWeight:
    """`weight`, with every dense linear of a layer rounded as `quant_type` says."""
    rounding = ROUNDING[quant_type]

    def get(key: ParameterKey) -> Weight:
        value = weight(key)
        if isinstance(value, np.ndarray) and quantizable(key):
            return rounding(value.astype(np.float32, copy=False))
        return value

    return get


def packed_bytes(weight: Weight) -> int:
    """Bytes that the decoder keeps of a weight: dense ones become float32."""
    if isinstance(weight, np.ndarray):
        return weight.size * 4
    if isinstance(weight, Int8Weight):
        return weight.codes.nbytes + weight.scales.nbytes
    return weight.packed.nbytes + weight.scales.nbytes * (1 if weight.zeros is None else 2)
