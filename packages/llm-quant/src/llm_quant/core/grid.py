"""Integer grids: which scales and zero points a group of weights gets, and rounding onto them.

Knows rows of numbers only: no model, no Hessian, no file. A grid has 2**bits codes
0 .. 2**bits - 1; a weight is ``scale * (code - zero)``. Symmetric grids have the zero fixed in the
middle (8 for int4), so that it need not be stored.

    grid = Grid(bits=4, group_size=128)
    steps = fit(weight, grid)
    codes = round_codes(weight, steps, grid)

Scales are rounded to `Grid.scale_dtype`, the dtype in which they will be stored, before any weight
is rounded: then the file holds exactly the weights that were chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

SEARCH_SHRINK = np.linspace(1.0, 0.6, 20, dtype=np.float32)


@dataclass(frozen=True)
class Grid:
    """How weights are rounded: bits, columns a scale, with or without a zero point."""

    bits: int = 4
    group_size: int = -1
    symmetric: bool = True
    search: bool = False
    scale_dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float32))

    @property
    def top(self) -> int:
        """The largest code, 2**bits - 1."""
        return 2**self.bits - 1

    @property
    def middle(self) -> int:
        """The zero point of a symmetric grid, 2**(bits - 1)."""
        return 2 ** (self.bits - 1)

    def width(self, columns: int) -> int:
        """Columns that share a scale in a linear with `columns` inputs (-1 means all of them)."""
        return columns if self.group_size == -1 else self.group_size


class Steps(NamedTuple):
    """The grid of each group: float32 arrays of one shape, for a whole linear [N, J]."""

    scales: np.ndarray
    zeros: np.ndarray

    def by_group(self) -> list[Steps]:
        """Scales and zeros [N] of each group of a linear [N, J], contiguous."""
        pairs = zip(self.scales.T.copy(), self.zeros.T.copy(), strict=True)
        return [Steps(scales, zeros) for scales, zeros in pairs]


def fit_group(values: np.ndarray, grid: Grid) -> Steps:
    """Scales and zeros [...] for groups of weights float32 [..., g].

    The range always contains 0, as in the GPTQ paper's code (arXiv:2210.17323). With
    `grid.search` the range with the least squared error is taken among 20 that shrink to 0.6.
    """
    high = np.maximum(values.max(axis=-1), 0)
    low = np.minimum(values.min(axis=-1), 0)
    steps = _steps(high, low, grid)
    if not grid.search:
        return steps
    scales, zeros = steps.scales.copy(), steps.zeros.copy()
    best = np.full(high.shape, np.inf, dtype=np.float32)
    for shrink in SEARCH_SHRINK:
        tried = _steps(high * shrink, low * shrink, grid)
        rounded = dequantize_group(_round_group(values, tried, grid), tried)
        error = np.square(rounded - values).sum(axis=-1)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, tried.scales, scales)
        zeros = np.where(better, tried.zeros, zeros)
    return Steps(scales, zeros)


def fit(weight: np.ndarray, grid: Grid) -> Steps:
    """Scales and zeros [N, J] of a whole linear float32 [N, K]; g must divide K."""
    rows, columns = weight.shape
    grouped = weight.reshape(rows, -1, grid.width(columns))
    chunks = [fit_group(grouped[i : i + 256], grid) for i in range(0, rows, 256)]
    return Steps(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def round_codes(weight: np.ndarray, steps: Steps, grid: Grid) -> np.ndarray:
    """Codes uint8 [N, K] of the nearest grid points of weights float32 [N, K]."""
    grouped = weight.reshape(weight.shape[0], steps.scales.shape[1], -1)
    return _round_group(grouped, steps, grid).astype(np.uint8).reshape(weight.shape)


def round_row(values: np.ndarray, steps: Steps, grid: Grid) -> np.ndarray:
    """Codes float32 [N] for one weight column [N], each row with its own scale [N]."""
    codes = np.rint(values / steps.scales)
    codes += steps.zeros
    return np.clip(codes, 0, grid.top, out=codes)


def dequantize_group(codes: np.ndarray, steps: Steps) -> np.ndarray:
    """Weights float32 [..., g] of codes [..., g] on the grids [...]."""
    zeros = steps.zeros[..., None]
    return (codes - zeros) * steps.scales[..., None]


def _round_group(values: np.ndarray, steps: Steps, grid: Grid) -> np.ndarray:
    codes = np.rint(values / steps.scales[..., None])
    codes += steps.zeros[..., None]
    return np.clip(codes, 0, grid.top, out=codes)


def _steps(high: np.ndarray, low: np.ndarray, grid: Grid) -> Steps:
    if grid.symmetric:
        scales = _stored(np.maximum(high, -low) * (2 / grid.top), grid)
        return Steps(scales, np.full_like(scales, grid.middle))
    scales = _stored((high - low) / grid.top, grid)
    zeros = np.clip(np.rint(-low / scales), 0, grid.top)
    return Steps(scales, zeros)


def _stored(scales: np.ndarray, grid: Grid) -> np.ndarray:
    stored = scales.astype(grid.scale_dtype).astype(np.float32)
    # A group of zeros, or one so small that its scale underflows: any scale will do.
    return np.where(stored == 0, np.float32(1), stored)
