"""Weights in eight-bit floating point, e4m3 (Micikevicius et al., arXiv:2209.05433)."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.errors import ShapeError
from llm_kernels.weights.checks import at_least_tiny, check_array, check_groups, check_scales

FLOAT8_MOST = np.float32(448)
"""The largest number of e4m3."""


@dataclass(frozen=True, eq=False)
class Float8Weight:
    """A linear weight [N, K] in e4m3.

    `codes`: float8_e4m3fn [N, K], without NaN. `scales`: float32 [N, K/g]; one column: a scale a
    row. An entry is code * scale. Raises ShapeError for arrays of another shape or dtype.
    """

    codes: npt.NDArray[ml_dtypes.float8_e4m3fn]
    scales: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together, and codes that are no numbers."""
        check_array("codes", self.codes, ml_dtypes.float8_e4m3fn, 2)
        check_scales(self.scales, self.shape)
        if np.any((self.codes.view(np.uint8) & 0x7F) == 0x7F):
            message = "codes holds NaN; a float8 weight is made of numbers. Convert it again."
            raise ShapeError(message)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K) of the weight it stands for."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def group_size(self) -> int:
        """Inputs that share a scale; K where there is one scale a row."""
        return self.codes.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.codes.nbytes + self.scales.nbytes

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The weight as float32 [N, K]."""
        grouped = self.codes.astype(np.float32).reshape(len(self.codes), -1, self.group_size)
        return (grouped * self.scales[:, :, None]).reshape(self.codes.shape)

    @classmethod
    def from_dense(
        cls, dense: npt.NDArray[np.float32], group_size: int | None = None
    ) -> Float8Weight:
        """Round a weight [N, K] to nearest; `group_size` None means one scale a row."""
        rows, columns = dense.shape
        size = columns if group_size is None else group_size
        check_groups(columns, size, multiple=1)
        grouped = np.ascontiguousarray(dense, np.float32).reshape(rows, -1, size)
        scales = at_least_tiny(np.abs(grouped).max(-1) / FLOAT8_MOST)
        scaled = np.clip(grouped / scales[:, :, None], -FLOAT8_MOST, FLOAT8_MOST)
        return cls(scaled.astype(ml_dtypes.float8_e4m3fn).reshape(rows, columns), scales)
