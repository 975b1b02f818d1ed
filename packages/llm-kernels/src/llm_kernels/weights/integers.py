"""Weights of four and eight bits an entry, in groups along the inputs that share a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_kernels.errors import ShapeError
from llm_kernels.weights.checks import at_least_tiny, check_array, check_groups, check_scales

_INT4_MIDDLE = 8  # code of zero in a symmetric weight


@dataclass(frozen=True, eq=False)
class Int4Weight:
    """A linear weight [N, K] of four bits an entry, in groups along K that share a scale.

    `packed`: uint8 [N, K/2], the even column in the low nibble. `scales`: float32 [N, K/g].
    `zeros`: uint8 [N, K/g], or None for a symmetric weight, whose zero point is 8. An entry is
    (nibble - zero) * scale. `group_size` g divides K and is a multiple of 8, or is K: one scale a
    row. Raises ShapeError for arrays of another shape or dtype.
    """

    packed: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    zeros: npt.NDArray[np.uint8] | None
    group_size: int

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        check_array("packed", self.packed, np.uint8, 2)
        rows, columns = self.shape
        check_groups(columns, self.group_size, multiple=8)
        groups = (rows, columns // self.group_size)
        check_array("scales", self.scales, np.float32, 2, groups)
        if self.zeros is not None:
            check_array("zeros", self.zeros, np.uint8, 2, groups)
            if self.zeros.size and int(self.zeros.max()) > 15:
                message = f"zeros holds {int(self.zeros.max())}; a four-bit zero point is 0 to 15."
                raise ShapeError(message)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K) of the weight it stands for."""
        return self.packed.shape[0], self.packed.shape[1] * 2

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        zeros = 0 if self.zeros is None else self.zeros.nbytes
        return self.packed.nbytes + self.scales.nbytes + zeros

    def codes(self) -> npt.NDArray[np.uint8]:
        """The nibbles, uint8 [N, K]."""
        codes = np.empty(self.shape, np.uint8)
        codes[:, 0::2] = self.packed & 15
        codes[:, 1::2] = self.packed >> 4
        return codes

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The weight as float32 [N, K]."""
        rows, columns = self.shape
        grouped = self.codes().reshape(rows, -1, self.group_size).astype(np.float32)
        zeros = np.float32(_INT4_MIDDLE) if self.zeros is None else self.zeros[:, :, None]
        return ((grouped - zeros) * self.scales[:, :, None]).reshape(rows, columns)

    @classmethod
    def from_dense(
        cls, dense: npt.NDArray[np.float32], group_size: int | None = None, symmetric: bool = True
    ) -> Int4Weight:
        """Round a weight [N, K] to nearest; `group_size` None means one scale a row."""
        rows, columns = dense.shape
        size = columns if group_size is None else group_size
        check_groups(columns, size, multiple=8)
        grouped = np.ascontiguousarray(dense, np.float32).reshape(rows, -1, size)
        if symmetric:
            scales = at_least_tiny(np.abs(grouped).max(-1) / 7)
            middle: npt.NDArray[np.float32] = np.full(scales.shape, _INT4_MIDDLE, np.float32)
        else:
            low, high = np.minimum(grouped.min(-1), 0), np.maximum(grouped.max(-1), 0)
            scales = at_least_tiny((high - low) / 15)
            middle = np.clip(np.rint(-low / scales), 0, 15).astype(np.float32)
        codes = np.clip(np.rint(grouped / scales[:, :, None]) + middle[:, :, None], 0, 15)
        flat = codes.astype(np.uint8).reshape(rows, columns)
        packed = flat[:, 0::2] | flat[:, 1::2] << 4
        return cls(packed, scales, None if symmetric else middle.astype(np.uint8), size)


@dataclass(frozen=True, eq=False)
class Int8Weight:
    """A linear weight [N, K] of eight bits an entry, symmetric.

    `codes`: int8 [N, K]. `scales`: float32 [N, K/g]; one column: a scale a row. An entry is
    code * scale. Raises ShapeError for arrays of another shape or dtype.
    """

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        check_array("codes", self.codes, np.int8, 2)
        check_scales(self.scales, self.shape)

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
        grouped = self.codes.reshape(len(self.codes), -1, self.group_size).astype(np.float32)
        return (grouped * self.scales[:, :, None]).reshape(self.codes.shape)

    @classmethod
    def from_dense(
        cls, dense: npt.NDArray[np.float32], group_size: int | None = None
    ) -> Int8Weight:
        """Round a weight [N, K] to nearest; `group_size` None means one scale a row."""
        rows, columns = dense.shape
        size = columns if group_size is None else group_size
        check_groups(columns, size, multiple=1)
        grouped = np.ascontiguousarray(dense, np.float32).reshape(rows, -1, size)
        scales = at_least_tiny(np.abs(grouped).max(-1) / 127)
        codes = np.rint(grouped / scales[:, :, None]).astype(np.int8)
        return cls(codes.reshape(rows, columns), scales)
