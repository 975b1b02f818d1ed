"""GPTQ against a float64 Optimal Brain Quantization that inverts the Hessian at every step."""

from __future__ import annotations

import numpy as np
import pytest

from llm_quant.core.gptq import gptq
from llm_quant.core.grid import Grid, Steps, fit, fit_group
from llm_quant.core.hessian import Gram, inverse_factor, output_error
from llm_quant.core.quantized import round_to_nearest

ROWS, COLUMNS = 12, 48


def problem(seed: int, tokens: int = 400) -> tuple[np.ndarray, Gram]:
    """Weights [N, K] and the Gram matrix of correlated inputs with two loud channels."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((COLUMNS // 4, COLUMNS))
    inputs = rng.standard_normal((tokens, COLUMNS // 4)) @ mixing
    inputs += 0.3 * rng.standard_normal((tokens, COLUMNS))
    inputs[:, [3, 30]] *= 15
    gram = Gram((inputs.T @ inputs).astype(np.float32), tokens)
    return rng.standard_normal((ROWS, COLUMNS)).astype(np.float32), gram


def tie_distance(values: np.ndarray) -> np.ndarray:
    """How far each number is from the nearest one that lies between two integers."""
    return np.abs(values - np.floor(values) - 0.5)


def naive(
    weight: np.ndarray, gram: np.ndarray, order: np.ndarray, grid: Grid, damp: float, static: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Dequantized weights [N, K], everything in float64, one explicit inverse per column.

    And of each row how far it stayed from a tie, in steps of the grid [N].
    """
    hessian = gram.astype(np.float64)
    hessian[np.diag_indices_from(hessian)] += damp * np.diagonal(hessian).mean()
    work, result = weight.astype(np.float64), np.zeros(weight.shape)
    width = grid.width(weight.shape[1])
    steps: dict[int, Steps] = {}
    margin = np.full(weight.shape[0], 0.5)
    if static:
        whole = fit(weight, grid)
        steps = {j: Steps(whole.scales[:, j], whole.zeros[:, j]) for j in range(48 // width)}
    for done, column in enumerate(order):
        rest = order[done:]
        group = column // width
        if group not in steps:
            values = work[:, column : column + width]
            steps[group] = fit_group(values.astype(np.float32), grid)
            if not grid.symmetric:
                # A zero point is rounded too.
                lowest = np.minimum(values.min(axis=1), 0)
                margin = np.minimum(margin, tie_distance(lowest / steps[group].scales))
        scale, zero = (part.astype(np.float64) for part in steps[group])
        margin = np.minimum(margin, tie_distance(work[:, column] / scale))
        inverse = np.linalg.inv(hessian[np.ix_(rest, rest)])
        code = np.clip(np.rint(work[:, column] / scale) + zero, 0, grid.top)
        result[:, column] = (code - zero) * scale
        error = (work[:, column] - result[:, column]) / inverse[0, 0]
        work[:, rest] -= error[:, None] * inverse[0][None]
    return result, margin


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("group", "block"), [(-1, 16), (-1, 128), (16, 16), (8, 32), (24, 16)])
def test_equals_brute_force(group: int, block: int, symmetric: bool, act_order: bool) -> None:
    weight, gram = problem(seed=1)
    grid = Grid(4, group, symmetric)
    factor = inverse_factor(gram.total, 0.01, act_order=act_order)
    assert factor is not None
    found = gptq(weight, factor.upper, factor.order, grid, act_order=act_order, block=block)
    expected, margin = naive(weight, gram.total, factor.order, grid, 0.01, act_order)
    # At a tie float32 may fall to the other side than float64, and the rest of the row follows;
    # rows do not touch each other, and those without a tie have the same grid points everywhere.
    clear = margin > 2e-4
    assert clear.sum() >= ROWS // 3
    np.testing.assert_allclose(found.dequantize()[clear], expected[clear], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("group", [-1, 16])
def test_error_is_far_below_rounding_on_correlated_inputs(group: int, act_order: bool) -> None:
    for seed in range(3):
        weight, gram = problem(seed)
        grid = Grid(4, group)
        factor = inverse_factor(gram.total, 0.01, act_order=act_order)
        assert factor is not None
        found = gptq(weight, factor.upper, factor.order, grid, act_order=act_order)
        rounded = round_to_nearest(weight, grid)
        error = output_error(weight - found.dequantize(), gram.total)
        assert error < 0.5 * output_error(weight - rounded.dequantize(), gram.total)


def test_block_size_does_not_change_the_result() -> None:
    weight, gram = problem(seed=4)
    grid = Grid(4, 16)
    factor = inverse_factor(gram.total, 0.01, act_order=True)
    assert factor is not None
    codes = [
        gptq(weight, factor.upper, factor.order, grid, act_order=True, block=block).codes
        for block in (1, 16, 48)
    ]
    assert (codes[0] != codes[1]).mean() < 0.01
    assert (codes[0] != codes[2]).mean() < 0.01


def test_static_groups_keep_the_scales_of_the_original_weights() -> None:
    weight, gram = problem(seed=5)
    grid = Grid(4, 16, symmetric=False)
    factor = inverse_factor(gram.total, 0.01, act_order=True)
    assert factor is not None
    assert (np.diff(factor.order) < 0).any()
    found = gptq(weight, factor.upper, factor.order, grid, act_order=True)
    np.testing.assert_array_equal(found.steps.scales, fit(weight, grid).scales)
    np.testing.assert_array_equal(found.steps.zeros, fit(weight, grid).zeros)


def test_uncorrelated_inputs_give_plain_rounding() -> None:
    weight, _ = problem(seed=6)
    grid = Grid(4, 16)
    factor = inverse_factor(np.eye(COLUMNS, dtype=np.float32), 0.01, act_order=False)
    assert factor is not None
    found = gptq(weight, factor.upper, factor.order, grid, act_order=False)
    np.testing.assert_array_equal(found.codes, round_to_nearest(weight, grid).codes)
