"""Rounding of a linear's inputs, so that products of small numbers take the place of floats.

`InputRounding` says how, and is its own NumPy definition; `RoundedInputs` is a weight together with
the rounding that its inputs get. The native kernels multiply the codes; here the rounded inputs are
multiplied as floats, which differs in the last bits only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels.errors import ShapeError
from llm_kernels.weights.float8 import FLOAT8_MOST, Float8Weight
from llm_kernels.weights.integers import Int4Weight, Int8Weight

Kind = Literal[
    "int8_block", "int8_token", "int8_static", "float8_token", "float8_static", "bfloat16"
]
BLOCK = 128
"""Most inputs that share a scale under `int8_block`; a weight's groups cut blocks shorter."""

_PARTNERS: dict[str, type | tuple[type, ...]] = {
    "int8": (Int4Weight, Int8Weight),
    "float8": Float8Weight,
    "bfloat16": np.ndarray,
}
_INT8_MOST = np.float32(127)
_LEAST_SCALE = np.float32(1e-37)


@dataclass(frozen=True)
class InputRounding:
    """How inputs are rounded.

    `int8_block`: int8 codes with a scale for each run of BLOCK inputs of a token; `int8_token`,
    `float8_token`: a scale a token, from its largest input; `int8_static`, `float8_static`: the
    calibrated `scale` that code 1 stands for; larger inputs saturate. float8 is e4m3. `bfloat16`
    has no scale.
    """

    kind: Kind
    scale: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a static rounding without a scale."""
        if self.kind.endswith("static") and not (np.isfinite(self.scale) and self.scale > 0):
            message = f"The scale of {self.kind} inputs is {self.scale}; it must be positive."
            raise ShapeError(message)

    def apply(self, x: npt.NDArray[np.float32], group_size: int) -> npt.NDArray[np.float32]:
        """The rounded x [..., K], for a weight whose scales are shared by `group_size` inputs."""
        if self.kind == "bfloat16":
            return x.astype(ml_dtypes.bfloat16).astype(np.float32)
        if self.kind != "int8_block":
            return self._run(x)
        ends = [*_block_ends(x.shape[-1], group_size)]
        starts = [0, *ends[:-1]]
        runs = [self._run(x[..., a:b]) for a, b in zip(starts, ends, strict=True)]
        return np.concatenate(runs, axis=-1)

    def _run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Inputs [..., n] that share a scale, rounded."""
        most = _INT8_MOST if self.kind.startswith("int8") else FLOAT8_MOST
        scale = np.abs(x).max(-1, keepdims=True) / most
        if self.kind.endswith("static"):
            scale = np.full_like(scale, self.scale)
        with np.errstate(divide="ignore"):
            inverse = np.where(scale > _LEAST_SCALE, np.float32(1) / scale, np.float32(0))
        codes = np.clip(x * inverse, -most, most)
        if self.kind.startswith("int8"):
            return np.rint(codes) * scale
        return codes.astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * scale


@dataclass(frozen=True, eq=False)
class RoundedInputs:
    """A linear weight whose inputs are rounded before they meet it.

    int8 inputs meet Int4Weight and Int8Weight, float8 inputs Float8Weight, bfloat16 inputs an array
    of bfloat16 [N, K]; ShapeError else.
    """

    weight: Int4Weight | Int8Weight | Float8Weight | npt.NDArray[ml_dtypes.bfloat16]
    rounding: InputRounding

    def __post_init__(self) -> None:
        """Refuse products that no kernel has."""
        if not isinstance(self.weight, _PARTNERS[self.rounding.kind.split("_")[0]]):
            message = (
                f"Inputs rounded as {self.rounding.kind} do not meet a "
                f"{type(self.weight).__name__}; int8 meets int4 and int8, float8 meets float8, "
                "bfloat16 meets an array of bfloat16."
            )
            raise ShapeError(message)
        if isinstance(self.weight, np.ndarray) and self.weight.dtype != ml_dtypes.bfloat16:
            message = f"Inputs in bfloat16 meet a weight in bfloat16, not {self.weight.dtype}."
            raise ShapeError(message)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        rows, columns = self.weight.shape
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Bytes of the weight's arrays."""
        return self.weight.nbytes

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The weight as float32 [N, K]; what its inputs lose is not in it."""
        if isinstance(self.weight, np.ndarray):
            return self.weight.astype(np.float32)
        return self.weight.dequantize()

    def project(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """x [..., K] float32 -> [..., N]: the rounded inputs times the weight."""
        held = self.weight
        group = held.shape[1] if isinstance(held, np.ndarray) else held.group_size
        return self.rounding.apply(x, group) @ self.dequantize().T


def _block_ends(columns: int, group_size: int) -> list[int]:
    """Where runs of inputs that share a scale end: at multiples of BLOCK and of the group."""
    ends = {*range(BLOCK, columns, BLOCK), *range(group_size, columns, group_size), columns}
    return sorted(ends)
