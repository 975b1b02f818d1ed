from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from llm_kernels import ops, reference
from llm_kernels.ops.linear import LinearWeight
from llm_kernels.weights import Int4Weight, Int8Weight

Make = Callable[[np.ndarray], LinearWeight]
FORMATS: dict[str, Make] = {
    "float32": lambda dense: dense,
    "int8": Int8Weight.from_dense,
    "int8-groups-of-8": lambda dense: Int8Weight.from_dense(dense, 8),
    "int4": Int4Weight.from_dense,
    "int4-groups-of-8": lambda dense: Int4Weight.from_dense(dense, 8),
    "int4-zero-points": lambda dense: Int4Weight.from_dense(dense, symmetric=False),
    "int4-groups-of-8-zero-points": lambda dense: Int4Weight.from_dense(dense, 8, False),
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
    expected = reference.dense(weight).T
    found = ops.linear(np.eye(48, dtype=np.float32), weight, isa=isa)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


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
    with pytest.raises(ValueError, match="choose scalar, avx2 or avx512"):
        ops.linear(x, weight, isa="neon")
    with pytest.raises(ValueError, match="pass neither"):
        ops.linear(x, ops.pack(weight), isa="scalar")


def test_no_rows_give_no_rows(isa: str) -> None:
    assert ops.linear(normal(0, 0, 8), normal(0, 3, 8), isa=isa).shape == (0, 3)
