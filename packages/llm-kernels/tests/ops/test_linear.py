from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops, reference
from llm_kernels.ops.linear import LinearWeight
from llm_kernels.weights import (
    Float8Weight,
    InputRounding,
    Int4Weight,
    Int8Weight,
    RoundedInputs,
)
from llm_kernels.weights.inputs import Kind

Make = Callable[[np.ndarray], LinearWeight]


def rounding(kind: Kind, quantize: Make) -> Make:
    def make(dense: np.ndarray) -> LinearWeight:
        weight = quantize(dense)
        assert not isinstance(weight, np.ndarray | RoundedInputs)
        return RoundedInputs(weight, InputRounding(kind, 0.01 if kind.endswith("static") else 0.0))

    return make


FORMATS: dict[str, Make] = {
    "float32": lambda dense: dense,
    "bfloat16": lambda dense: dense.astype(ml_dtypes.bfloat16),
    "float8": Float8Weight.from_dense,
    "float8-groups-of-8": lambda dense: Float8Weight.from_dense(dense, 8),
    "int8": Int8Weight.from_dense,
    "int8-groups-of-8": lambda dense: Int8Weight.from_dense(dense, 8),
    "int4": Int4Weight.from_dense,
    "int4-groups-of-8": lambda dense: Int4Weight.from_dense(dense, 8),
    "int4-zero-points": lambda dense: Int4Weight.from_dense(dense, symmetric=False),
    "int4-groups-of-8-zero-points": lambda dense: Int4Weight.from_dense(dense, 8, False),
    "int8-by-block": rounding("int8_block", Int8Weight.from_dense),
    "int8-by-token": rounding("int8_token", lambda dense: Int8Weight.from_dense(dense, 8)),
    "int8-static": rounding("int8_static", Int8Weight.from_dense),
    "int4-by-block": rounding("int8_block", lambda dense: Int4Weight.from_dense(dense, 8)),
    "int4-by-token": rounding(
        "int8_token", lambda dense: Int4Weight.from_dense(dense, symmetric=False)
    ),
    "bfloat16-both": lambda dense: RoundedInputs(
        dense.astype(ml_dtypes.bfloat16), InputRounding("bfloat16")
    ),
    "float8-by-token": rounding("float8_token", Float8Weight.from_dense),
    "float8-static": rounding("float8_static", Float8Weight.from_dense),
}
GROUPS = {
    f"{bits}-groups-of-{group}": (bits, group)
    for bits in ("symmetric", "zero-points")
    for group in (32, 64, 128, 320)
}


@pytest.fixture(params=FORMATS.values(), ids=FORMATS.keys())
def make(request: pytest.FixtureRequest) -> Make:
    function: Make = request.param
    return function


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Rows around a tile, a threshold and a stripe; outputs and inputs beside every multiple.
@pytest.mark.parametrize("rows", [1, 2, 6, 7, 13, 40, 200])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 8), (5, 24), (70, 264), (64, 520), (129, 96)])
def test_equals_the_reference(
    isa: str, threads: int, make: Make, rows: int, outputs: int, inputs: int
) -> None:
    weight = make(normal(1, outputs, inputs) / np.float32(np.sqrt(inputs)))
    x, bias = normal(2, rows, inputs), normal(3, outputs)
    found = ops.linear(x, weight, bias, isa=isa, threads=threads)
    np.testing.assert_allclose(found, reference.linear(x, weight, bias), atol=2e-5)
    without = ops.linear(x, weight, isa=isa, threads=threads)
    np.testing.assert_allclose(without, reference.linear(x, weight), atol=2e-5)


@pytest.mark.parametrize(("kind", "group"), GROUPS.values(), ids=GROUPS.keys())
@pytest.mark.parametrize("rows", [1, 5, 50])
def test_int4_groups(isa: str, kind: str, group: int, rows: int) -> None:
    weight = Int4Weight.from_dense(normal(4, 33, 640) / 16, group, kind == "symmetric")
    x = normal(5, rows, 640)
    np.testing.assert_allclose(
        ops.linear(x, weight, isa=isa), reference.linear(x, weight), atol=5e-5
    )


@pytest.mark.parametrize("inputs", [2, 6, 10, 258])
def test_int4_rows_that_end_inside_a_word(isa: str, inputs: int) -> None:
    weight = Int4Weight.from_dense(normal(6, 9, inputs))
    for rows in (1, 30):
        x = normal(7, rows, inputs)
        found = ops.linear(x, weight, isa=isa)
        np.testing.assert_allclose(found, reference.linear(x, weight), atol=5e-5)


def test_a_row_does_not_depend_on_the_rows_beside_it(isa: str, make: Make) -> None:
    packed = ops.pack(make(normal(8, 70, 520)), normal(9, 70), isa=isa)
    x = normal(10, 250, 520)
    together = packed(x, threads=2)
    for row in (0, 5, 6, 191, 192, 249):
        np.testing.assert_array_equal(packed(x[row : row + 1], threads=1)[0], together[row])
    np.testing.assert_array_equal(packed(x[3:9]), together[3:9])


def test_one_column_of_ones_reads_one_weight_each(isa: str, make: Make) -> None:
    """A unit vector picks a column, which shows any input or output in the wrong place."""
    weight = make(normal(11, 40, 48))
    ones = np.eye(48, dtype=np.float32)
    found = ops.linear(ones, weight, isa=isa)
    np.testing.assert_allclose(found, reference.linear(ones, weight), rtol=3e-6, atol=1e-6)


def test_the_most_negative_code_counts(isa: str) -> None:
    """-128, whose size no int8 holds, against inputs of both signs."""
    weight = Int8Weight(np.full((40, 64), -128, np.int8), np.ones((40, 1), np.float32))
    x = np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(3, 64)
    rounded = RoundedInputs(weight, InputRounding("int8_token"))
    found = ops.linear(x, rounded, isa=isa)
    np.testing.assert_allclose(found, reference.linear(x, rounded), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", ["int8_block", "int8_token"])
def test_the_largest_codes_do_not_overflow(isa: str, kind: Kind) -> None:
    x = np.full((2, 1024), 3.0, np.float32)
    for weight in (
        Int8Weight(np.full((33, 1024), 127, np.int8), np.ones((33, 1), np.float32)),
        Int4Weight(np.full((33, 512), 0xFF, np.uint8), np.ones((33, 1), np.float32), None, 1024),
    ):
        rounded = RoundedInputs(weight, InputRounding(kind))
        found = ops.linear(x, rounded, isa=isa)
        np.testing.assert_allclose(found, reference.linear(x, rounded), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_no_number_is_not_hidden_by_rounding(isa: str, bad: float) -> None:
    x = normal(13, 3, 256)
    x[1, 130] = bad
    weight = RoundedInputs(Int8Weight.from_dense(normal(14, 40, 256)), InputRounding("int8_block"))
    found = ops.linear(x, weight, isa=isa)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_inputs_of_zeros_give_the_bias(isa: str) -> None:
    weight = RoundedInputs(Int4Weight.from_dense(normal(15, 40, 256)), InputRounding("int8_block"))
    bias = normal(16, 40)
    found = ops.linear(np.zeros((2, 256), np.float32), weight, bias, isa=isa)
    np.testing.assert_array_equal(found, np.stack([bias, bias]))


def test_a_packed_weight_says_what_it_holds() -> None:
    packed = ops.pack(Int4Weight.from_dense(normal(12, 64, 256), 128))
    assert packed.shape == (64, 256)
    assert 64 * 256 // 2 <= packed.nbytes <= 64 * 256


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        (normal(0, 2, 8).astype(np.float64), normal(0, 3, 8), None, "x has dtype float64"),
        (normal(0, 2, 7), normal(0, 3, 8), None, r"x has shape \[2, 7\]; \[any, 8\] is needed"),
        (normal(0, 8), normal(0, 3, 8), None, r"x has shape \[8\]"),
        (normal(0, 2, 8), normal(0, 3, 8).astype(np.float16), None, "weight has dtype float16"),
        (normal(0, 2, 8), normal(0, 3, 8), normal(0, 4), r"bias has shape \[4\]; \[3\]"),
        (normal(0, 8, 2).T, normal(0, 3, 8), None, "x is not C-contiguous"),
        (normal(0, 2, 8), normal(0, 8, 3).T, None, "weight is not C-contiguous"),
        (normal(0, 2, 0), normal(0, 3, 0), None, "no entries"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ops.linear(x, weight, bias)


def test_threads_and_instruction_sets_that_are_not_there_are_refused() -> None:
    x, weight = normal(0, 2, 8), normal(0, 3, 8)
    with pytest.raises(ValueError, match="threads is 0"):
        ops.linear(x, weight, threads=0)
    with pytest.raises(ValueError, match="choose scalar, avx2, avx512, avx512bf16 or amx"):
        ops.linear(x, weight, isa="neon")
    with pytest.raises(ValueError, match="pass neither"):
        ops.linear(x, ops.pack(weight), isa="scalar")


def test_no_rows_give_no_rows(isa: str) -> None:
    assert ops.linear(normal(0, 0, 8), normal(0, 3, 8), isa=isa).shape == (0, 3)
