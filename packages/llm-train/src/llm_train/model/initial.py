"""New weights: a pure function of seed, parameter and shape, the same on any number of ranks.

Normal with the configuration's `initializer_range` (0.02 where it states none); what writes to the
residual is scaled by 1 / sqrt(2 L) (Radford et al. 2019), so that its variance does not grow with
depth. Norms start at one, biases at zero.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes, parameters

_TO_RESIDUAL = frozenset({"out", "down", "expert_down", "shared_down"})
_FROM_ZERO = frozenset({"router_correction"})
DEFAULT_RANGE = 0.02


def initial_parameters(
    spec: FamilySpec, sizes: Sizes, config: Mapping[str, Any], seed: int
) -> Callable[[ParameterKey], np.ndarray]:
    """A function from key to new float32 weights, canonical [out, in]."""
    shapes = parameters(spec, sizes)
    deviation = float(config.get("initializer_range") or DEFAULT_RANGE)

    def initial(key: ParameterKey) -> np.ndarray:
        shape = shapes[key]
        if key.leaf == "bias" or key.slot in _FROM_ZERO:
            return np.zeros(shape, dtype=np.float32)
        if SLOTS[key.slot].kind == "norm":
            return np.full(shape, 0.0 if spec.norm.unit_offset else 1.0, dtype=np.float32)
        scale = deviation / (math.sqrt(2 * sizes.layers) if key.slot in _TO_RESIDUAL else 1.0)
        generator = np.random.default_rng([seed, zlib.crc32(key.name.encode())])
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    return initial
