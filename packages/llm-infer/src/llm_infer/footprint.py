"""What a model's weights will take in memory, before they are read: a few rows of each kind tell.

Weights are of one kind where the checkpoint quantizes them alike, in one type and shape: they are
then kept alike. One layer does not stand for all: checkpoints leave layers unquantized.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from llm_convert.model import Model
from llm_infer.bundle.reading import BundledModel
from llm_infer.quantize import GetWeight, Weight, packed_bytes, quantizable
from llm_infer.sources import Source
from llm_kernels.families import SLOTS, ParameterKey, parameters
from llm_kernels.weights import Float8Weight, Int4Weight, Int8Weight, RoundedInputs

SAMPLED_ROWS = 8
"""Rows that are read of each kind; rows of a weight take the same."""
_EMBED = ParameterKey("embed")


@dataclass(frozen=True)
class Footprint:
    """Bytes of the packed weights, and whether any linear of a layer rounds its inputs."""

    bytes: int
    rounds_inputs: bool


def native_footprint(
    model: Source, sample: GetWeight, head: Callable[[np.ndarray], Weight] | None = None
) -> Footprint:
    """What the native decoder will keep.

    `sample` gives the first rows of a parameter as they will be kept, `head` makes what the head's
    floats are kept as (see `NativeDecoder`). A bundle says it itself.
    """
    if isinstance(model, BundledModel):
        return Footprint(model.size, model.rounds_inputs)
    shapes = parameters(model.spec, model.sizes)
    share: dict[tuple[object, ...], float] = {}
    rounds = False
    total = 0.0
    for key, shape in shapes.items():
        if len(shape) < 2 or (SLOTS[key.slot].kind == "table" and key != _EMBED):
            total += 4 * math.prod(shape)  # norms, biases, positions: always float32
            continue
        kind = _kind(model, key, shape)
        if kind not in share:
            kept = sample(key)
            if key.slot == "head" and head is not None and isinstance(kept, np.ndarray):
                kept = head(kept)
            rounds = rounds or (quantizable(key) and isinstance(kept, RoundedInputs))
            share[kind] = packed_bytes(kept) / _rows(kept)
        total += share[kind] * shape[0]
    if model.sizes.tied and head is not None:
        # The embedding's floats are kept for their rows, and the head besides.
        table = sample(_EMBED)
        kept = head(table) if isinstance(table, np.ndarray) else table
        total += packed_bytes(kept) / _rows(kept) * shapes[_EMBED][0]
    return Footprint(round(total), rounds)


def paddle_footprint(model: Source) -> Footprint:
    """What Paddle will keep: float32 on the CPU, whatever the files hold."""
    shapes = parameters(model.spec, model.sizes).values()
    return Footprint(4 * sum(math.prod(shape) for shape in shapes), rounds_inputs=False)


def first_rows(weight: GetWeight) -> GetWeight:
    """`weight`, cut to its first SAMPLED_ROWS rows."""
    return lambda key: _cut(weight(key))


def _rows(weight: Weight) -> int:
    return int(weight.shape[0])


def _cut(weight: Weight) -> Weight:
    rows = slice(SAMPLED_ROWS)
    if isinstance(weight, RoundedInputs):
        return replace(weight, weight=_cut(weight.weight))  # type: ignore[arg-type]
    if isinstance(weight, Int4Weight):
        zeros = None if weight.zeros is None else weight.zeros[rows]
        return Int4Weight(weight.packed[rows], weight.scales[rows], zeros, weight.group_size)
    if isinstance(weight, Int8Weight):
        return Int8Weight(weight.codes[rows], weight.scales[rows])
    if isinstance(weight, Float8Weight):
        return Float8Weight(weight.codes[rows], weight.scales[rows])
    return weight[rows]


def _kind(model: Source, key: ParameterKey, shape: tuple[int, ...]) -> tuple[object, ...]:
    """What decides how a parameter is kept."""
    scheme = model.quantization.schemes.get(key) if model.quantization else None
    dtype = model.dtype(key) if isinstance(model, Model) else None
    return scheme, dtype, shape, key.slot == "head", quantizable(key)
