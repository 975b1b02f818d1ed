"""Linears of many inputs and rows: chunks of a panel, several stripes, and a rest of each."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops, reference
from llm_kernels.native import runnable_isas
from llm_kernels.weights import InputRounding, Int4Weight, Int8Weight, RoundedInputs
from llm_kernels.weights.inputs import Kind

Weight: TypeAlias = Int8Weight | Int4Weight

OUTPUTS = 19  # one panel, and not all of it
# Beside the chunks of a panel, on both sides of a tall stripe's most inputs; the last in whole runs
# of a matrix unit.
INPUTS = [1056, 2080, 4128, 2112]
ROWS = [385, 400]  # two stripes and one row, or one tile
GROUPS = {"a-scale-a-row": 0, "groups-of-32": 32}

sizes = pytest.mark.parametrize(("inputs", "rows"), [(k, rows) for k in INPUTS for rows in ROWS])
groups = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())


@cache
def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@cache
def whole_inputs(rows: int, inputs: int) -> np.ndarray:
    """Whole numbers that int8 holds; every block has a 127, by which its scale is 1."""
    x = np.random.default_rng(1).integers(-127, 128, (rows, inputs))
    x[:, ::16] = 127
    return x.astype(np.float32)


@cache
def exact_product(bits: int, rows: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [OUTPUTS, inputs] and their products with the whole inputs, which floats hold."""
    codes = np.random.default_rng(2).integers(-8, 8, (OUTPUTS, inputs))
    if bits == 8:
        codes[::2, ::64] = -100
    product = whole_inputs(rows, inputs).astype(np.int64) @ codes.T
    assert np.abs(product).max() < 2**24
    return codes, product.astype(np.float32)


def weight_of(bits: int, codes: np.ndarray, group: int, *, zeros: bool = False) -> Weight:
    """Of scale 1 in every group."""
    inputs = codes.shape[1]
    scales = np.ones((OUTPUTS, inputs // group if group else 1), np.float32)
    if bits == 8:
        return Int8Weight(codes.astype(np.int8), scales)
    nibbles = (codes + 8).astype(np.uint8)
    packed = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    middle = np.full(scales.shape, 8, np.uint8) if zeros else None
    return Int4Weight(packed, scales, middle, group or inputs)


@sizes
@groups
@pytest.mark.parametrize("kind", ["int8_block", "int8_token"])
@pytest.mark.parametrize("form", ["int8", "int4", "int4-zero-points"])
def test_products_of_integers_are_exact(
    isa: str, form: str, kind: Kind, group: int, inputs: int, rows: int
) -> None:
    bits = int(form[3])
    codes, expected = exact_product(bits, rows, inputs)
    weight = weight_of(bits, codes, group, zeros=form.endswith("points"))
    rounded = RoundedInputs(weight, InputRounding(kind))
    found = ops.linear(whole_inputs(rows, inputs), rounded, isa=isa)
    np.testing.assert_array_equal(found, expected)


@sizes
@pytest.mark.parametrize("bits", [8, 4])
def test_a_matrix_unit_gives_the_bits_of_vectors(bits: int, inputs: int, rows: int) -> None:
    if "amx" not in runnable_isas():
        pytest.skip("this processor has no matrix unit")
    quantize = Int8Weight.from_dense if bits == 8 else Int4Weight.from_dense
    weight = RoundedInputs(quantize(normal(3, OUTPUTS, inputs), 32), InputRounding("int8_token"))
    x, bias = normal(4, rows, inputs), normal(5, OUTPUTS)
    found = ops.linear(x, weight, bias, isa="amx")
    np.testing.assert_array_equal(found, ops.linear(x, weight, bias, isa="avx512bf16"))
    np.testing.assert_allclose(
        found, ops.linear(x, weight, bias, isa="scalar"), rtol=0, atol=3e-6 * inputs**0.5
    )


@sizes
def test_bfloat16_is_close_to_the_reference(isa: str, inputs: int, rows: int) -> None:
    dense = normal(6, OUTPUTS, inputs).astype(ml_dtypes.bfloat16)
    x, bias = normal(7, rows, inputs), normal(8, OUTPUTS)
    for weight in (dense, RoundedInputs(dense, InputRounding("bfloat16"))):
        found = ops.linear(x, weight, bias, isa=isa)
        expected = reference.linear(x, weight, bias)
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * inputs**0.5)
