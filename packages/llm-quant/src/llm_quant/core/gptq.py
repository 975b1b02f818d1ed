"""GPTQ (Frantar et al., arXiv:2210.17323): round column by column, correct what follows.

Takes a weight and the Gram matrix of its inputs and returns codes; knows no model and no file.
Every column that is rounded leaves an error, which is spread over the columns not yet rounded so
that the layer's output on the calibration inputs changes least.

Order and groups: with `act_order` columns are taken by falling input energy and the scales of
the groups are fixed from the original weights before (static groups), so that a group stays a run
of neighbouring columns and no g_idx is needed. Without it a group's scales are fitted when its
first column is reached, to the weights as corrected by then.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from llm_quant.core.grid import Grid, Steps, fit, fit_group, round_row
from llm_quant.core.quantized import Quantized

ROWS_PER_UPDATE = 512  # keeps the temporary of a trailing update in the cache


class _Panel(NamedTuple):
    """The columns start:stop of the permuted weight, in work."""

    start: int
    stop: int


def gptq(
    weight: np.ndarray,
    factor: np.ndarray,
    order: np.ndarray,
    grid: Grid,
    *,
    act_order: bool,
    block: int = 128,
) -> Quantized:
    """Codes for weights float32 [N, K].

    `factor` float32 [K, K] is the upper triangle U with inverse Hessian = U^T U for columns in
    the order `order` int [K] (`llm_quant.core.hessian.inverse_factor`). `block` is the number of
    columns corrected among themselves before the rest of the matrix is.
    """
    columns = weight.shape[1]
    work = np.ascontiguousarray(weight.T[order])
    codes = np.empty(work.shape, dtype=np.uint8)
    steps = fit(weight, grid) if act_order else None
    fitted = [] if steps is None else steps.by_group()
    width = grid.width(columns)
    size = block if act_order else math.gcd(block, width)
    for start in range(0, columns, size):
        panel = _Panel(start, min(start + size, columns))
        if steps is None and start % width == 0:
            fitted.append(fit_group(work[start : start + width].T, grid))
        of_column = (
            [fitted[-1]] * size
            if steps is None
            else [fitted[column // width] for column in order[panel.start : panel.stop].tolist()]
        )
        errors = _round_panel(work, factor, panel, of_column, codes, grid)
        _correct_rest(work, factor, panel, errors)
    unordered = np.empty_like(codes)
    unordered[order] = codes
    if steps is None:
        steps = Steps(*(np.stack(parts, axis=1) for parts in zip(*fitted, strict=True)))
    return Quantized(np.ascontiguousarray(unordered.T), steps, grid)


def _round_panel(
    work: np.ndarray,
    factor: np.ndarray,
    panel: _Panel,
    of_column: list[Steps],
    codes: np.ndarray,
    grid: Grid,
) -> np.ndarray:
    """Round the columns of a panel one after the other; returns their scaled errors [b, N]."""
    start, stop = panel
    triangle = factor[start:stop, start:stop]
    errors = np.empty((stop - start, work.shape[1]), dtype=np.float32)
    for i in range(stop - start):
        column = work[start + i]
        # One product with all earlier errors instead of one update of all later columns per
        # step: the same numbers with half the memory traffic.
        column -= triangle[:i, i] @ errors[:i]
        steps = of_column[i]
        rounded = round_row(column, steps, grid)
        codes[start + i] = rounded
        errors[i] = (column - (rounded - steps.zeros) * steps.scales) / triangle[i, i]
    return errors


def _correct_rest(work: np.ndarray, factor: np.ndarray, panel: _Panel, errors: np.ndarray) -> None:
    rows = factor[panel.start : panel.stop]
    for first in range(panel.stop, work.shape[0], ROWS_PER_UPDATE):
        last = min(first + ROWS_PER_UPDATE, work.shape[0])
        work[first:last] -= rows[:, first:last].T @ errors
