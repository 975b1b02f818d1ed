"""A linear weight as the kernels of one instruction set read it, to be mapped from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_kernels.weights.inputs import InputRounding


@dataclass(frozen=True, eq=False)
class PackedArrays:
    """What `llm_kernels.ops.PackedLinear.arrays` gave, on the machine or on one like it.

    `header`: number of the format, N, K and group. `codes` uint8, `scales` and `offsets` float32 or
    None, each of one dimension; their order is the kernels' own affair. They are read where they
    lie, so a mapped file stays mapped as long as the weight is used.
    """

    isa: str
    header: tuple[int, int, int, int]
    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32] | None
    offsets: npt.NDArray[np.float32] | None
    rounding: InputRounding | None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        return self.header[1], self.header[2]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        parts = (self.codes, self.scales, self.offsets)
        return sum(part.nbytes for part in parts if part is not None)
