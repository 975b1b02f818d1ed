"""Between whole canonical parameters and what this process holds of them.

A process holds a parameter whole, or its share along one axis (`llm_kernels.families.shard`).
Which of the two is seen from the shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import paddle
from paddle import nn

from llm_kernels.errors import ShapeError
from llm_kernels.families import SLOTS, ParameterKey, Sizes, parameters, shard
from llm_train.model.spec_model import SpecForCausalLM
from llm_train.parallel.collectives import all_gather
from llm_train.parallel.groups import Parallel


def held_parameters(model: SpecForCausalLM) -> Iterator[tuple[ParameterKey, Any]]:
    """Every parameter of this process with its canonical key, in forward order."""
    for decoder in model.decoders:
        for name, parameter in decoder.named_parameters():
            yield ParameterKey.parse(name), parameter


def load_shares(
    model: SpecForCausalLM, get: Callable[[ParameterKey], np.ndarray], parallel: Parallel
) -> None:
    """Set this process's parameters from whole ones, `get(key)`, canonical [out, in].

    Raises ShapeError that names the parameter when an array has another shape.
    """
    wanted = parameters(model.spec, model.sizes)
    for key, parameter in held_parameters(model):
        array = get(key)
        if tuple(array.shape) != wanted[key]:
            message = (
                f"{key.name} has shape {tuple(array.shape)}, but the configuration asks for "
                f"{wanted[key]}. The weights and config.json are of different models."
            )
            raise ShapeError(message)
        own = share_of(key, array, parameter, model.sizes, parallel)
        parameter.set_value(paddle.to_tensor(turned(key, own)).astype(parameter.dtype))


def share_of(
    key: ParameterKey, whole: np.ndarray, parameter: Any, sizes: Sizes, parallel: Parallel
) -> np.ndarray:
    """This process's share of a canonical array, for the parameter of that key."""
    if not parameter.is_distributed:
        return whole
    layout = parallel.layout
    return shard(key, whole, sizes, rank=layout.tensor_rank, degree=layout.tensor)


def gathered(key: ParameterKey, own: paddle.Tensor, parameter: Any, group: Any) -> np.ndarray:
    """The whole canonical array from every rank's `own`, of the parameter's shape.

    All ranks of the tensor group call it for the same key.
    """
    if not parameter.is_distributed:
        return turned(key, own.numpy())
    axis = 0 if SLOTS[key.slot].split == "vocab" else own.ndim - 1
    if SLOTS[key.slot].split == "row":
        axis = 0
    return turned(key, all_gather(own, group, axis=axis).numpy())


def turned(key: ParameterKey, array: np.ndarray) -> np.ndarray:
    """Canonical [out, in] to Paddle's [in, out] and back, for linears; others as they are."""
    if array.ndim == 2 and SLOTS[key.slot].kind == "linear":
        return np.ascontiguousarray(array.T)
    return array


def mark_tied(model: SpecForCausalLM) -> None:
    """Mark the embedding that the first and the last stage of a pipeline both hold."""
    if not model.sizes.tied:
        return
    for decoder in model.decoders:
        if (decoder.first or decoder.last) and not (decoder.first and decoder.last):
            embedding: nn.Layer = decoder.embed
            embedding.weight.tied = True
