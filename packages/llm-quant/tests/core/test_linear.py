"""One linear layer: GPTQ where it helps, rounding with a reason where it cannot, never an error."""

from __future__ import annotations

import numpy as np
import pytest

from llm_quant.core.grid import Grid
from llm_quant.core.hessian import Gram
from llm_quant.core.linear import Recipe, quantize_linear
from llm_quant.core.quantized import round_to_nearest

COLUMNS = 64


def correlated(tokens: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((tokens, 16)) @ rng.standard_normal((16, COLUMNS))
    return (data + 0.2 * rng.standard_normal((tokens, COLUMNS))).astype(np.float32)


def gram_of(data: np.ndarray) -> Gram:
    return Gram(data.T @ data, len(data))


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((32, COLUMNS)).astype(np.float32)


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq_beats_rounding_and_reports_true_errors(weight: np.ndarray, bits: int) -> None:
    data = correlated(500)
    found, outcome = quantize_linear(weight, gram_of(data), Recipe(Grid(bits, 32)))
    assert outcome.method == "gptq"
    assert outcome.reason is None
    assert outcome.damp == 0.01
    assert outcome.tokens == 500
    assert outcome.error is not None
    assert outcome.rtn_error is not None
    assert outcome.error < 0.6 * outcome.rtn_error
    data = data.astype(np.float64)
    energy = np.square(data @ weight.T).sum()
    error = np.square(data @ (weight - found.dequantize()).T).sum() / energy
    assert outcome.error == pytest.approx(error, rel=0.01)
    plain = round_to_nearest(weight, Grid(bits, 32)).dequantize()
    error = np.square(data @ (weight - plain).T).sum() / energy
    assert outcome.rtn_error == pytest.approx(error, rel=0.01)


def test_dead_columns_are_rounded_on_their_own(weight: np.ndarray) -> None:
    data = correlated(300)
    data[:, [5, 40]] = 0
    grid = Grid(4, 32)
    found, outcome = quantize_linear(weight, gram_of(data), Recipe(grid))
    assert (outcome.method, outcome.dead_columns) == ("gptq", 2)
    expected = round_to_nearest(weight, grid).codes
    np.testing.assert_array_equal(found.codes[:, [5, 40]], expected[:, [5, 40]])


@pytest.mark.parametrize("tokens", [1, 3, 63])
def test_fewer_tokens_than_columns_still_give_gptq(weight: np.ndarray, tokens: int) -> None:
    found, outcome = quantize_linear(weight, gram_of(correlated(tokens)), Recipe(Grid(4, 16)))
    assert outcome.method == "gptq"
    assert np.isfinite(found.dequantize()).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((0, COLUMNS), np.float32), "no calibration token"),
        (np.zeros((9, COLUMNS), np.float32), "all zero"),
        (np.full((9, COLUMNS), np.inf, np.float32), "not finite"),
        (np.full((9, COLUMNS), 1e30, np.float32), "not finite"),
    ],
)
def test_useless_inputs_end_in_rounding(weight: np.ndarray, data: np.ndarray, reason: str) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        found, outcome = quantize_linear(weight, gram_of(data), Recipe(Grid(4, 16)))
    assert outcome.method == "rtn"
    assert outcome.reason is not None
    assert reason in outcome.reason
    assert outcome.damp is None
    np.testing.assert_array_equal(found.codes, round_to_nearest(weight, Grid(4, 16)).codes)


def test_an_indefinite_matrix_ends_in_the_better_of_both(weight: np.ndarray) -> None:
    total = np.eye(COLUMNS, dtype=np.float32)
    total[0, 1] = total[1, 0] = 40.0
    found, outcome = quantize_linear(weight, Gram(total, 10), Recipe(Grid(4, 16)))
    assert outcome.method == "rtn"
    assert outcome.reason is not None
    np.testing.assert_array_equal(found.codes, round_to_nearest(weight, Grid(4, 16)).codes)
