"""A LoRA adapter over canonical parameters (Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from llm_convert.errors import AdapterError
from llm_convert.files.narrowing import check_range, narrowed
from llm_convert.files.page_memory import PageMemory
from llm_convert.layout import Layout
from llm_convert.lora.summing import low_rank_sum
from llm_convert.model import Model
from llm_convert.quantization.dense import dense
from llm_kernels.families import ParameterKey

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LoraAdapter:
    """Low-rank additions to linear weights: delta [out, in] = scaling * (A @ B).T.

    Attributes:
        rank: r of the configuration; single pairs may have another.
        alpha: alpha of the configuration.
        scaling: alpha / r, or alpha / sqrt(r) with rslora.
        pairs: weight -> (A [in, r], B [r, out]).
        scalings: weight -> scaling where it differs from `scaling`.
        replaced: parameters that the adapter trained in full, in canonical layout.
        config: the configuration as it was read.
    """

    rank: int
    alpha: float
    scaling: float
    pairs: Mapping[ParameterKey, Pair]
    scalings: Mapping[ParameterKey, float] = field(default_factory=dict)
    replaced: Mapping[ParameterKey, np.ndarray] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def scaling_of(self, key: ParameterKey) -> float:
        """The factor of one weight's pair."""
        return self.scalings.get(key, self.scaling)

    def delta(self, key: ParameterKey) -> np.ndarray:
        """What is added to a weight: float32 [out, in]. Raises KeyError without a pair for it."""
        a, b = (matrix.astype(np.float32, copy=False) for matrix in self.pairs[key])
        return np.float32(self.scaling_of(key)) * (b.T @ a.T)


def merged(
    model: Model,
    adapter: LoraAdapter,
    dtypes: Mapping[ParameterKey, np.dtype] = MappingProxyType({}),
    layout: Layout | None = None,
) -> Callable[[ParameterKey], np.ndarray]:
    """The weights of `model` with the adapter folded in, computed when asked for.

    Sums in float32 and rounds once, to the type of `dtypes`, or else to the one the base is stored
    in. A quantized base is dequantized, which is what training on it saw; its merged weights stay
    float32 where `dtypes` says nothing. A sum lies in memory as `layout` is going to store it, or
    else as the base does; nothing besides it is in memory.

    Raises:
        AdapterError: the adapter has weights that the model lacks, or of another shape.
        ConvertError, when a weight is asked for: numbers of it are too large for its type.
    """
    _check(model, adapter)
    memory = PageMemory()

    def weight(key: ParameterKey) -> np.ndarray:
        stored = model.weight(key)
        own = stored.dtype if isinstance(stored, np.ndarray) else np.dtype(np.float32)
        dtype = dtypes.get(key, own)
        if key in adapter.replaced:
            return narrowed(key.name, adapter.replaced[key], dtype)
        if key not in adapter.pairs:
            return narrowed(key.name, dense(stored), dtype)
        base = dense(stored)
        a, b = adapter.pairs[key]
        name = None if layout is None else layout.source.get(key)
        transposed = None if layout is None or name is None else layout.tensors[name].transposed
        scaling = adapter.scaling_of(key)
        found = low_rank_sum(base, b.T, a.T, scaling, dtype, memory=memory, transposed=transposed)
        if dtype == np.float16:  # the others hold every sum of weights
            check_range(key.name, found, base)
        return found

    return weight


def _check(model: Model, adapter: LoraAdapter) -> None:
    _check_finite(adapter)
    wrong = []
    for key, (a, b) in adapter.pairs.items():
        shape = model.parameters.get(key)
        if shape is None:
            wrong.append(f"{key.name} does not exist in the model")
        elif (b.shape[1], a.shape[0]) != shape or a.shape[1] != b.shape[0]:
            wrong.append(f"{key.name} is {list(shape)}, A {list(a.shape)}, B {list(b.shape)}")
    for key, array in adapter.replaced.items():
        if model.parameters.get(key) != array.shape:
            wrong.append(f"{key.name} is {model.parameters.get(key)}, replaced by {array.shape}")
    if wrong or not (adapter.pairs or adapter.replaced):
        found = "; ".join(wrong[:10]) or "it adapts nothing"
        message = (
            f"The adapter does not fit the model {model.path}: {found}. Name the base model that "
            "it was trained on."
        )
        raise AdapterError(message)


def _check_finite(adapter: LoraAdapter) -> None:
    matrices: dict[ParameterKey, tuple[np.ndarray, ...]] = dict(adapter.pairs)
    matrices |= {key: (array,) for key, array in adapter.replaced.items()}
    wrong = [
        key.name
        for key, arrays in matrices.items()
        if not all(np.isfinite(array.astype(np.float32, copy=False)).all() for array in arrays)
    ]
    if wrong:
        message = (
            f"The adapter holds numbers that are not finite, for {', '.join(wrong[:10])}: its "
            "training diverged, or its file is damaged. Train or copy it again."
        )
        raise AdapterError(message)
