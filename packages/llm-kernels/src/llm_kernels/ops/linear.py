"""Linear layers over floats, float8, int8 and int4, packed once for the instruction set."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from llm_kernels.native import extension, packed_isa, resolve
from llm_kernels.ops.linear_arguments import arguments
from llm_kernels.weights import (
    Float8Weight,
    Int4Weight,
    Int8Weight,
    PackedArrays,
    RoundedInputs,
)

LinearWeight: TypeAlias = (
    "npt.NDArray[np.generic] | Int4Weight | Int8Weight | Float8Weight | RoundedInputs"
)
Packable: TypeAlias = "LinearWeight | PackedArrays"


class PackedLinear:
    """A linear weight [N, K] and its bias [N], laid out for one instruction set by `pack`."""

    def __init__(
        self, weight: Packable, bias: npt.NDArray[np.float32] | None, isa: str, threads: int
    ) -> None:
        """Pack; see `pack`."""
        kind, values = arguments(weight, bias)
        self._native = getattr(extension().PackedLinear, kind)(*values, isa, threads)
        self._rounding = weight.rounding if isinstance(weight, RoundedInputs) else None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        rows, columns = self._native.shape
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Bytes held, padding included."""
        return int(self._native.nbytes)

    @property
    def isa(self) -> str:
        """The instruction set that it is packed for."""
        return str(self._native.isa)

    def arrays(self) -> PackedArrays:
        """A copy of what was packed, without the bias, to be written to a file and packed from."""
        header, codes, scales, offsets = self._native.packed()
        isa = packed_isa(self.isa)
        return PackedArrays(isa, tuple(header), codes, scales, offsets, self._rounding)

    def __call__(
        self, x: npt.NDArray[np.float32], *, threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """x [T, K] float32 -> x W^T + b, float32 [T, N]."""
        out: npt.NDArray[np.float32] = self._native(x, resolve(self.isa, threads)[1])
        return out


def pack(
    weight: Packable,
    bias: npt.NDArray[np.float32] | None = None,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> PackedLinear:
    """Lay a weight [N, K] out for the kernels: float32, bfloat16 or quantized; bias float32 [N].

    `PackedArrays` must be of the same `isa`, and are used where they lie.
    """
    return PackedLinear(weight, bias, *resolve(isa, threads))


def linear(
    x: npt.NDArray[np.float32],
    weight: LinearWeight | PackedLinear,
    bias: npt.NDArray[np.float32] | None = None,
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """x W^T + b: x float32 [T, K] -> float32 [T, N].

    A weight that is used more than once should be packed once (`pack`); a packed weight brings its
    bias and its instruction set along. Integer weights are multiplied as they are and scaled group
    by group, so that no float copy of them is made. `RoundedInputs` rounds x first; with int8
    products are summed as integers.
    """
    if not isinstance(weight, PackedLinear):
        weight = pack(weight, bias, isa=isa, threads=threads)
    elif bias is not None or isa is not None:
        message = "A packed weight has its bias and instruction set already; pass neither."
        raise ValueError(message)
    return weight(x, threads=threads)
