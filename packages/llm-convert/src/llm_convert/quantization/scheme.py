"""How linears are quantized, and which tensors stand for one in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import ml_dtypes
import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import StoredTensor
from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes, parameters

FIELD = "quantization_config"
METHOD, FORMAT = "compressed-tensors", "pack-quantized"
FP8 = "fp8"
EIGHT_BITS: Mapping[str, np.dtype] = MappingProxyType(
    {
        "int-quantized": np.dtype(np.int8),
        "float-quantized": np.dtype(ml_dtypes.float8_e4m3fn),
    }
)
"""Formats that store a code an entry, without packing -> the type of a code."""
BLOCKS = "float8 by block"
"""A form that is read only (`blockwise`)."""
# What stands for "<linear>.weight" in a file: the name with each of these appended.
SHAPE = "_shape"
PACKED, SCALE, ZERO = "_packed", "_scale", "_zero_point"
# What stands for "<linear>" in a file: the scale of its inputs, where calibration found one.
INPUT_SCALE = ".input_scale"
WORD = np.dtype("<i4")


@dataclass(frozen=True)
class Scheme:
    """How one linear is quantized and stored; `group_size` None: one scale for a whole row.

    `form`: compressed-tensors' format, FORMAT or one of EIGHT_BITS; or BLOCKS. `inputs`: how those
    of EIGHT_BITS are rounded; None for not at all.
    """

    num_bits: int = 4
    group_size: int | None = 128
    symmetric: bool = True
    form: str = FORMAT
    inputs: Literal["dynamic", "static"] | None = None

    def __post_init__(self) -> None:
        """Refuse what no weight of llm_kernels can hold."""
        if self.num_bits not in (4, 8) or (self.num_bits == 8 and not self.symmetric):
            kind = "symmetric" if self.symmetric else "asymmetric"
            message = (
                f"{self.num_bits}-bit {kind} weights are not supported; supported are 4-bit "
                "symmetric and asymmetric, and 8-bit symmetric ones."
            )
            raise QuantizationError(message)
        if self.group_size is not None and self.group_size < 1:
            message = f"group_size is {self.group_size}; it must be positive, or none for rows."
            raise QuantizationError(message)

    def groups(self, columns: int) -> int:
        """Scales of a row of K columns. QuantizationError where K is no multiple of the group."""
        size = self.group_size or columns
        if columns % size or (self.num_bits == 4 and columns % 2):
            message = (
                f"{columns} columns of a linear cannot be quantized to {self.num_bits} bits in "
                f"groups of {size}. Choose a divisor, or leave this linear unquantized."
            )
            raise QuantizationError(message)
        return columns // size


@dataclass(frozen=True)
class Quantization:
    """Which parameters of a model are quantized, and how."""

    schemes: Mapping[ParameterKey, Scheme]

    @classmethod
    def uniform(
        cls,
        spec: FamilySpec,
        sizes: Sizes,
        scheme: Scheme,
        skip: frozenset[ParameterKey] = frozenset(),
    ) -> Quantization:
        """Every adaptable linear but those in `skip`, all by one scheme."""
        keys = (key for key in parameters(spec, sizes) if key.leaf == "weight")
        adaptable = (key for key in keys if SLOTS[key.slot].adaptable)
        return cls({key: scheme for key in adaptable if key not in skip})

    def of(self, stored: StoredTensor) -> Scheme | None:
        """The scheme of a stored tensor, None for a dense one.

        Raises:
            QuantizationError: the parts of a fused tensor are to be quantized differently.
        """
        schemes = {self.schemes.get(key) for key in stored.parts}
        if len(schemes) > 1:
            message = (
                f"{stored.name} joins {', '.join(key.name for key in stored.parts)}, which are to "
                "be quantized differently. Quantize or skip them together."
            )
            raise QuantizationError(message)
        return schemes.pop()


def stored_infos(
    name: str, shape: tuple[int, ...], scheme: Scheme, scale: np.dtype
) -> dict[str, TensorInfo]:
    """The tensors that stand for the quantized linear `name` ("...weight") [N, K] in a file.

    Raises QuantizationError for a form that is read only, and as `Scheme.groups`.
    """
    rows, columns = shape
    if scheme.form == BLOCKS:
        message = f"{name} is {BLOCKS}, which is read and never written. Choose a --dtype."
        raise QuantizationError(message)
    if scheme.form in EIGHT_BITS:
        whole = {
            name: TensorInfo(EIGHT_BITS[scheme.form], (rows, columns)),
            name + SCALE: TensorInfo(scale, (rows, 1)),
        }
        if scheme.inputs == "static":
            whole[stem(name) + INPUT_SCALE] = TensorInfo(np.dtype(np.float32), (1,))
        return whole
    groups = scheme.groups(columns)
    infos = {
        name + PACKED: TensorInfo(WORD, (rows, -(-columns * scheme.num_bits // 32))),
        name + SCALE: TensorInfo(scale, (rows, groups)),
        name + SHAPE: TensorInfo(np.dtype("<i8"), (2,)),
    }
    if not scheme.symmetric:
        words = -(-rows * scheme.num_bits // 32)
        infos[name + ZERO] = TensorInfo(WORD, (words, groups))
    return infos


def stem(name: str) -> str:
    """The module that a weight belongs to."""
    return name.removesuffix(".weight")
