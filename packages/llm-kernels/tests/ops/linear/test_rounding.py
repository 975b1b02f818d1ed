"""Inputs rounded to bfloat16 and float8: what a weight of ones on the diagonal lets through."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops
from llm_kernels.native import runnable_isas
from llm_kernels.weights import Float8Weight, InputRounding, RoundedInputs

INPUTS = 71  # vectors of every unit, and a rest


def hard_numbers() -> np.ndarray:
    """Rows of normal numbers, halves of both types, zeros of both signs, and large numbers."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((6, INPUTS)) * np.exp(random.uniform(-6, 6, (6, INPUTS)))
    rows[1] = random.integers(-2000, 2000, INPUTS) / 512
    rows[2] = random.integers(-65536, 65536, INPUTS) / 256
    rows[3, ::2] = -0.0
    rows[4] *= 1e20
    rows[5, :40] = 0.0
    return rows.astype(np.float32)


def through(x: np.ndarray, rounding: InputRounding, isa: str) -> np.ndarray:
    eye = np.eye(x.shape[1], dtype=np.float32)
    if rounding.kind == "bfloat16":
        return ops.linear(x, RoundedInputs(eye.astype(ml_dtypes.bfloat16), rounding), isa=isa)
    ones = np.ones((len(eye), 1), np.float32)
    weight = Float8Weight(eye.astype(ml_dtypes.float8_e4m3fn), ones)
    return ops.linear(x, RoundedInputs(weight, rounding), isa=isa)


def test_bfloat16_is_that_of_ml_dtypes(isa: str) -> None:
    x = hard_numbers()
    found = through(x, InputRounding("bfloat16"), isa)
    np.testing.assert_array_equal(found, x.astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("scale", [0.0, 1.0, 0.0371])
def test_float8_is_that_of_ml_dtypes(isa: str, scale: float) -> None:
    x = hard_numbers()
    kind = "float8_static" if scale else "float8_token"
    scales = np.float32(scale) if scale else np.abs(x).max(1, keepdims=True) / np.float32(448)
    inverse = np.float32(1) / scales
    codes = np.clip(x * inverse, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    found = through(x, InputRounding(kind, scale), isa)
    np.testing.assert_array_equal(found, codes.astype(np.float32) * scales)


@pytest.mark.parametrize("kind", ["bfloat16", "float8_token", "float8_static"])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.uint32(0x7F800001).view(np.float32)])
def test_what_is_no_number_stays_none(isa: str, kind: str, bad: float) -> None:
    x = hard_numbers()
    for place in (3, INPUTS - 1):
        x[1, place] = bad
    rounding = InputRounding(kind, 0.5 if kind.endswith("static") else 0.0)  # type: ignore[arg-type]
    found = through(x, rounding, isa)
    assert np.isnan(found[1]).all()  # a sum with what is no number
    assert np.isfinite(found[[0, 2, 3, 5]]).all()


def test_every_instruction_set_gives_the_same_bits() -> None:
    x = hard_numbers()
    for kind in ("float8_token", "bfloat16"):
        rounding = InputRounding(kind)  # type: ignore[arg-type]
        wanted = through(x, rounding, "scalar")
        for isa in runnable_isas()[1:]:
            np.testing.assert_array_equal(through(x, rounding, isa), wanted)
