"""A quantized linear while it is being made: codes, scales and zeros, and the packed form.

Does not know how the codes were chosen. `Quantized.packed()` gives the type that checkpoints and
kernels share (`llm_kernels.weights`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.grid import Grid, Steps, dequantize_group, fit, round_codes


@dataclass(frozen=True)
class Quantized:
    """Codes uint8 [N, K] with their scales and zeros float32 [N, J] on one grid."""

    codes: np.ndarray
    steps: Steps
    grid: Grid

    def dequantize(self) -> np.ndarray:
        """Weights float32 [N, K]."""
        rows, columns = self.codes.shape
        grouped = self.codes.reshape(rows, self.steps.scales.shape[1], -1).astype(np.float32)
        return dequantize_group(grouped, self.steps).reshape(rows, columns)

    def packed(self) -> Int4Weight | Int8Weight:
        """The weight as checkpoints and kernels hold it; 8 bit weights are symmetric."""
        width = self.codes.shape[1] // self.steps.scales.shape[1]
        scales = np.ascontiguousarray(self.steps.scales)
        if self.grid.bits == 8:
            codes = (self.codes.astype(np.int16) - self.grid.middle).astype(np.int8)
            return Int8Weight(codes=codes, scales=scales)
        nibbles = self.codes[:, 0::2] | (self.codes[:, 1::2] << 4)
        zeros = None if self.grid.symmetric else self.steps.zeros.astype(np.uint8)
        return Int4Weight(packed=nibbles, scales=scales, zeros=zeros, group_size=width)


def round_to_nearest(weight: np.ndarray, grid: Grid) -> Quantized:
    """The plain rounding of weights float32 [N, K], which needs no calibration."""
    steps = fit(weight, grid)
    return Quantized(round_codes(weight, steps, grid), steps, grid)
