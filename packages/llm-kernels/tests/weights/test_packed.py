from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops
from llm_kernels.ops.linear import Packable
from llm_kernels.weights import (
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    PackedArrays,
    RoundedInputs,
)

DENSE = np.random.default_rng(5).standard_normal((70, 256)).astype(np.float32)
X = np.random.default_rng(6).standard_normal((5, 256)).astype(np.float32)
BY_BLOCK = InputRounding("int8_block")
MAKERS: dict[str, Callable[[], Packable]] = {
    "float32": lambda: DENSE,
    "bfloat16": lambda: DENSE.astype(ml_dtypes.bfloat16),
    "bfloat16 inputs": lambda: RoundedInputs(
        DENSE.astype(ml_dtypes.bfloat16), InputRounding("bfloat16")
    ),
    "float8": lambda: Float8Weight.from_dense(DENSE),
    "int8": lambda: Int8Weight.from_dense(DENSE),
    "int4": lambda: Int4Weight.from_dense(DENSE, 64, symmetric=False),
    "int8 inputs": lambda: RoundedInputs(Int8Weight.from_dense(DENSE), BY_BLOCK),
    "int4, int8 inputs": lambda: RoundedInputs(Int4Weight.from_dense(DENSE, 32), BY_BLOCK),
    "int4 with zeros, int8 inputs": lambda: RoundedInputs(
        Int4Weight.from_dense(DENSE, 64, symmetric=False), BY_BLOCK
    ),
}


def packed(make: Callable[[], Packable]) -> ops.PackedLinear:
    return ops.pack(make(), np.arange(70, dtype=np.float32))


def again(arrays: PackedArrays) -> ops.PackedLinear:
    return ops.pack(arrays, np.arange(70, dtype=np.float32))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_packed_again_it_computes_the_same_bit_by_bit(make: Callable[[], Packable]) -> None:
    first = packed(make)
    arrays = first.arrays()
    assert arrays.shape == (70, 256)
    assert arrays.nbytes == first.nbytes - 70 * 4
    np.testing.assert_array_equal(again(arrays)(X), first(X))


def test_a_mapped_file_is_read_where_it_lies(tmp_path: Path) -> None:
    first = packed(MAKERS["int4, int8 inputs"])
    arrays = first.arrays()
    arrays.codes.tofile(tmp_path / "codes")
    mapped = np.memmap(tmp_path / "codes", np.uint8, "r")
    second = again(
        PackedArrays(arrays.isa, arrays.header, mapped, arrays.scales, None, arrays.rounding)
    )
    del mapped
    np.testing.assert_array_equal(second(X), first(X))


def test_arrays_of_another_size_are_refused() -> None:
    arrays = packed(MAKERS["int8 inputs"]).arrays()
    with pytest.raises(ValueError, match="codes has shape"):
        again(PackedArrays(arrays.isa, arrays.header, arrays.codes[:-1], arrays.scales, None, None))
    with pytest.raises(ValueError, match="scales exactly where"):
        again(PackedArrays(arrays.isa, arrays.header, arrays.codes, None, None, arrays.rounding))
    with pytest.raises(ValueError, match="header of a packed weight"):
        again(PackedArrays(arrays.isa, (99, 70, 256, 256), arrays.codes, arrays.scales, None, None))
