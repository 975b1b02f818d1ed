"""Eight bits as an element type: linears rounded to float8 (e4m3) or int8, a scale a row.

    scheme = cast_scheme("float8")                    # None for the types of `files.dtypes`
    weight = rounded(dense, scheme, np.dtype(np.float32))

Scales are rounded to the type in which they will be stored before any weight is, so that the file
holds exactly the weights that were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import ml_dtypes
import numpy as np

from llm_convert.quantization.scheme import Scheme
from llm_kernels.weights import Float8Weight, Int8Weight

CASTS: Mapping[str, Scheme] = MappingProxyType(
    {
        "float8": Scheme(8, None, form="float-quantized"),
        "int8": Scheme(8, None, form="int-quantized"),
    }
)
"""Name of a type -> how linears are stored in it."""
_MOST: Mapping[str, np.float32] = MappingProxyType(
    {"float-quantized": np.float32(448), "int-quantized": np.float32(127)}
)


def cast_scheme(dtype: str | None) -> Scheme | None:
    """How linears of a type are stored; None for a type that needs no scales."""
    return CASTS.get(dtype or "")


def rounded(dense: np.ndarray, scheme: Scheme, scale_dtype: np.dtype) -> Float8Weight | Int8Weight:
    """A finite weight float32 [N, K] to nearest, half to even, with scales [N, 1].

    The largest entry of a row becomes the largest code, 448 or 127, but for the rounding of its
    scale to `scale_dtype`; a row of zeros stays zero.
    """
    most = _MOST[scheme.form]
    exact = np.abs(dense).max(axis=1, keepdims=True) / most
    least = np.float32(ml_dtypes.finfo(scale_dtype).smallest_normal)
    scales = np.maximum(exact.astype(scale_dtype).astype(np.float32), least)
    codes = dense / scales
    np.clip(codes, -most, most, out=codes)
    if scheme.form == "float-quantized":
        return Float8Weight(codes.astype(ml_dtypes.float8_e4m3fn), scales)
    return Int8Weight(np.rint(codes, out=codes).astype(np.int8), scales)
