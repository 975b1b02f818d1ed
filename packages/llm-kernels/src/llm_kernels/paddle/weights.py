"""Canonical NumPy parameters into a Paddle decoder and back.

Canonical linears are [out, in], Paddle's are [in, out]; this module is the only place that turns
them. Where the parameters come from, a file or another model, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
from paddle import nn

from llm_kernels.errors import ShapeError
from llm_kernels.families import SLOTS, ParameterKey, parameters
from llm_kernels.paddle.decoder import Decoder


def load_parameters(decoder: Decoder, get: Callable[[ParameterKey], np.ndarray]) -> None:
    """Set every parameter of `decoder` from `get(key)`, canonical [out, in].

    Raises ShapeError that names the parameter when an array has another shape.
    """
    wanted = parameters(decoder.spec, decoder.sizes)
    for name, parameter in decoder.named_parameters():
        key = ParameterKey.parse(name)
        array = get(key)
        if tuple(array.shape) != wanted[key]:
            message = (
                f"{name} has shape {tuple(array.shape)}, but the configuration asks for "
                f"{wanted[key]}. The weights and config.json are of different models."
            )
            raise ShapeError(message)
        parameter.set_value(paddle.to_tensor(_turned(key, array)).astype(parameter.dtype))


def read_parameters(decoder: nn.Layer) -> dict[ParameterKey, np.ndarray]:
    """Every parameter of `decoder` as float32, canonical [out, in]."""
    read = {}
    for name, parameter in decoder.named_parameters():
        key = ParameterKey.parse(name)
        read[key] = _turned(key, parameter.astype("float32").numpy())
    return read


def _turned(key: ParameterKey, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and SLOTS[key.slot].kind == "linear":
        return np.ascontiguousarray(array.T)
    return array
