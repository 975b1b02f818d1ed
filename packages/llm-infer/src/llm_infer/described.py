"""A model of which only config.json is there: for exported graphs, and to measure with any weights.

It has what the engine asks of `llm_convert.model.Model`; its weights are random, repeatable and
cheap to make, so that a benchmark needs no checkpoint.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_convert.model import read_config
from llm_kernels.errors import KernelsError
from llm_kernels.families import FamilySpec, ParameterKey, Sizes, detect, parameters, read_sizes

SPREAD = 0.02
"""Standard deviation of random weights, as models are initialised with."""
_POOL = 1 << 20


@dataclass(frozen=True)
class DescribedModel:
    """The family and the sizes that a folder's config.json describes."""

    path: Path
    config: dict[str, Any]
    spec: FamilySpec
    sizes: Sizes
    quantization: None = None

    @cached_property
    def parameters(self) -> Mapping[ParameterKey, tuple[int, ...]]:
        """Canonical key -> shape."""
        return parameters(self.spec, self.sizes)

    def weight(self, key: ParameterKey) -> NDArray[np.float32]:
        """Random float32 of the parameter's shape: norms around one, all else around zero."""
        shape = self.parameters[key]
        start = zlib.crc32(key.name.encode()) % _POOL
        values = np.resize(np.roll(self._pool, -start), int(np.prod(shape)))
        if key.slot.endswith("norm") and key.leaf == "weight" and not self.spec.norm.unit_offset:
            values = values + np.float32(1)
        return np.asarray(values, np.float32).reshape(shape)

    @cached_property
    def _pool(self) -> NDArray[np.float32]:
        random = np.random.default_rng(0)
        return random.standard_normal(_POOL, np.float32) * np.float32(SPREAD)


def describe(path: str | Path) -> DescribedModel:
    """The model that a folder's config.json describes; weights need not be there.

    Raises what `llm_convert.model.open_model` raises for the folder and its config.json.
    """
    folder = Path(path)
    config = read_config(folder)
    try:
        spec = detect(config)
        sizes = read_sizes(spec, config)
    except KernelsError as error:
        message = f"{folder}: {error}"
        raise type(error)(message) from error
    return DescribedModel(folder, config, spec, sizes)
