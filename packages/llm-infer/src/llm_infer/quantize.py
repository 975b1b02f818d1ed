"""Rounding while loading: linears of the layers, to nearest; and how their inputs are rounded.

Embedding, head, norms and biases stay as they are; so does what a checkpoint holds quantized
already. int8 and fp8 (e4m3): one scale a row. int4: symmetric, groups of 128 inputs that share a
scale (64, 32, or one a row where 128 does not divide the width). a8w8 and a8w8_fp8 round the inputs
of every token too, to the same type, by a scale of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import ml_dtypes
import numpy as np

from llm_infer.errors import UnsupportedError
from llm_kernels.families import SLOTS, ParameterKey
from llm_kernels.weights import (
    QUANTIZED,
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    RoundedInputs,
)

Weight = np.ndarray | Int4Weight | Int8Weight | Float8Weight | RoundedInputs
GetWeight = Callable[[ParameterKey], Weight]

GROUP_SIZES = (128, 64, 32)
_GROUP_MULTIPLE = 8


def quantizable(key: ParameterKey) -> bool:
    """Whether `key` is a linear weight of a layer."""
    return SLOTS[key.slot].adaptable and key.leaf == "weight"


def to_int8(dense: np.ndarray) -> Int8Weight:
    """A weight [N, K] as int8 with one scale a row."""
    return Int8Weight.from_dense(dense)


def to_int4(dense: np.ndarray) -> Int4Weight:
    """A weight [N, K] as int4 in the largest group of GROUP_SIZES that divides K.

    Raises UnsupportedError for an odd K.
    """
    width = dense.shape[1]
    if width % 2:
        message = (
            f"A linear of this model has {width} inputs; int4 holds two in a byte and takes even "
            "numbers of them. Use --quant_type weight_only_int8."
        )
        raise UnsupportedError(message)
    return Int4Weight.from_dense(dense, next((g for g in GROUP_SIZES if width % g == 0), None))


def to_a8w8(dense: np.ndarray) -> RoundedInputs:
    """A weight [N, K] as int8 with one scale a row, whose inputs are int8 with one a token."""
    return RoundedInputs(Int8Weight.from_dense(dense), InputRounding("int8_token"))


def to_a8w8_fp8(dense: np.ndarray) -> RoundedInputs:
    """A weight [N, K] as e4m3 with one scale a row, whose inputs are e4m3 with one a token."""
    return RoundedInputs(Float8Weight.from_dense(dense), InputRounding("float8_token"))


QUANTIZERS: dict[str, Callable[[np.ndarray], Weight]] = {
    "weight_only_int8": to_int8,
    "weight_only_int4": to_int4,
    "a8w8": to_a8w8,
    "a8w8_fp8": to_a8w8_fp8,
}
"""By --quant_type."""


def with_quantized_linears(weight: GetWeight, quant_type: str) -> GetWeight:
    """`weight`, with every dense linear of a layer rounded as `quant_type` says."""
    rounding = QUANTIZERS[quant_type]

    def get(key: ParameterKey) -> Weight:
        value = weight(key)
        if isinstance(value, np.ndarray) and quantizable(key):
            return rounding(value.astype(np.float32, copy=False))
        return value

    return get


def with_bfloat16_weights(weight: GetWeight) -> GetWeight:
    """`weight`, with every dense matrix, embedding and head included, in bfloat16."""

    def get(key: ParameterKey) -> Weight:
        value = weight(key)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            return value.astype(ml_dtypes.bfloat16, copy=False)
        return value

    return get


def with_rounded_inputs(weight: GetWeight, kind: str) -> GetWeight:
    """`weight`, whose int8 and int4 linears multiply inputs rounded as `kind` says."""
    rounding = InputRounding(kind)  # type: ignore[arg-type]

    def get(key: ParameterKey) -> Weight:
        value = weight(key)
        return RoundedInputs(value, rounding) if _takes_int8(value) else value

    return get


def with_bfloat16_inputs(weight: GetWeight) -> GetWeight:
    """`weight`, whose linears in bfloat16 multiply inputs in bfloat16, as in other engines."""

    def get(key: ParameterKey) -> Weight:
        value = weight(key)
        return to_bfloat16_inputs(value) if quantizable(key) and _is_bfloat16(value) else value

    return get


def to_bfloat16_inputs(dense: np.ndarray) -> RoundedInputs:
    """A weight [N, K] in bfloat16 over inputs in bfloat16; products are added in float32."""
    # Paddle's files hold linears the other way round, so that `dense` may be a transposed view.
    weight = np.ascontiguousarray(dense, ml_dtypes.bfloat16)
    return RoundedInputs(weight, InputRounding("bfloat16"))


def _is_bfloat16(weight: Weight) -> TypeGuard[np.ndarray]:
    return isinstance(weight, np.ndarray) and weight.dtype == ml_dtypes.bfloat16


def _takes_int8(weight: Weight) -> TypeGuard[Int4Weight | Int8Weight]:
    """Whether kernels have the product of int8 inputs with it: in whole rows, or groups of 8."""
    if not isinstance(weight, Int4Weight | Int8Weight):
        return False
    return weight.group_size == weight.shape[1] or weight.group_size % _GROUP_MULTIPLE == 0


def to_int8_head(dense: np.ndarray) -> RoundedInputs:
    """A head [V, E] as int8 with one scale a token of the vocabulary, over int8 inputs."""
    weight = Int8Weight.from_dense(dense.astype(np.float32, copy=False))
    return RoundedInputs(weight, InputRounding("int8_block"))


def packed_bytes(weight: Weight) -> int:
    """Bytes that the decoder keeps of a weight: dense ones become float32, or stay bfloat16."""
    if isinstance(weight, QUANTIZED):
        return int(weight.nbytes)
    return weight.size * (2 if weight.dtype == ml_dtypes.bfloat16 else 4)
