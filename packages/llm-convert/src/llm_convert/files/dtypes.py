"""Names of element types in the file formats and in config.json, and their NumPy types.

bfloat16 and float8 are the types of ml_dtypes. PaddlePaddle keeps bfloat16 in NumPy arrays of
uint16, which `pdparams` translates; nothing else here reinterprets bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import ml_dtypes
import numpy as np

from llm_convert.errors import ConvertError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

SAFETENSORS: Mapping[str, np.dtype] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "U8": np.dtype("<u1"),
        "I8": np.dtype("<i1"),
        "U16": np.dtype("<u2"),
        "I16": np.dtype("<i2"),
        "U32": np.dtype("<u4"),
        "I32": np.dtype("<i4"),
        "U64": np.dtype("<u8"),
        "I64": np.dtype("<i8"),
        "F16": np.dtype("<f2"),
        "BF16": BFLOAT16,
        "F32": np.dtype("<f4"),
        "F64": np.dtype("<f8"),
        "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
        "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    }
)
SAFETENSORS_NAMES: Mapping[np.dtype, str] = MappingProxyType(
    {dtype: name for name, dtype in SAFETENSORS.items()}
)

# torch names a storage by its class (FloatStorage) or, in newer files, by its dtype (float32).
TORCH: Mapping[str, np.dtype] = MappingProxyType(
    {
        "BoolStorage": SAFETENSORS["BOOL"],
        "ByteStorage": SAFETENSORS["U8"],
        "CharStorage": SAFETENSORS["I8"],
        "ShortStorage": SAFETENSORS["I16"],
        "IntStorage": SAFETENSORS["I32"],
        "LongStorage": SAFETENSORS["I64"],
        "HalfStorage": SAFETENSORS["F16"],
        "BFloat16Storage": SAFETENSORS["BF16"],
        "FloatStorage": SAFETENSORS["F32"],
        "DoubleStorage": SAFETENSORS["F64"],
        "bool": SAFETENSORS["BOOL"],
        "uint8": SAFETENSORS["U8"],
        "int8": SAFETENSORS["I8"],
        "int16": SAFETENSORS["I16"],
        "int32": SAFETENSORS["I32"],
        "int64": SAFETENSORS["I64"],
        "uint16": SAFETENSORS["U16"],
        "uint32": SAFETENSORS["U32"],
        "uint64": SAFETENSORS["U64"],
        "float16": SAFETENSORS["F16"],
        "bfloat16": SAFETENSORS["BF16"],
        "float32": SAFETENSORS["F32"],
        "float64": SAFETENSORS["F64"],
        "float8_e4m3fn": SAFETENSORS["F8_E4M3"],
        "float8_e5m2": SAFETENSORS["F8_E5M2"],
    }
)

FLOATING: Mapping[str, np.dtype] = MappingProxyType(
    {
        "float32": SAFETENSORS["F32"],
        "float16": SAFETENSORS["F16"],
        "bfloat16": SAFETENSORS["BF16"],
    }
)


def floating(name: str) -> np.dtype:
    """NumPy type of a dtype option: "float32", "float16" or "bfloat16".

    Raises:
        ConvertError: any other name.
    """
    if name not in FLOATING:
        message = f"dtype {name!r} is not supported; choose one of {', '.join(FLOATING)}."
        raise ConvertError(message)
    return FLOATING[name]


def dtype_name(dtype: np.dtype) -> str:
    """Name of a NumPy type as config.json spells it: "float32", "bfloat16", "float8_e4m3fn"."""
    return dtype.name


def is_floating(dtype: np.dtype) -> bool:
    """Whether a type is a floating one, those of ml_dtypes included (NumPy calls them void)."""
    return dtype.kind == "f" or dtype in (
        BFLOAT16,
        SAFETENSORS["F8_E4M3"],
        SAFETENSORS["F8_E5M2"],
    )
