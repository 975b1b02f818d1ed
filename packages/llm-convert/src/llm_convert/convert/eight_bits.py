"""`--dtype float8` and `--dtype int8`: which linears of a model are rounded, and their weights.

Those that adapters and quantization take (`Slot.adaptable`): embeddings, norms, routers and the
head keep their type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.dtypes import FLOATING
from llm_convert.layout import Layout, Weight
from llm_convert.model import Model
from llm_convert.quantization import Quantization, Scheme
from llm_convert.quantization.casting import rounded
from llm_convert.verify.finite import check_finite
from llm_kernels.families import ParameterKey


@dataclass(frozen=True)
class EightBits:
    """What `save_model` takes for a model whose linears are rounded to eight bits."""

    quantization: Quantization
    dtype: dict[ParameterKey, np.dtype]
    parameters: Callable[[ParameterKey], Weight]


def eight_bits(model: Model, scheme: Scheme, weight: Callable[[ParameterKey], Weight]) -> EightBits:
    """The linears of `model` by `scheme`; `weight` gives the dense weights.

    Scales have the floating type of the linear. Raises QuantizationError, before any weight is
    read, for a family whose hub files hold linears by input rows.
    """
    quantization = Quantization.uniform(model.spec, model.sizes, scheme)
    _check_rows(model, quantization)
    dtype = {key: model.dtype(key) for key in model.parameters}
    for key in quantization.schemes:
        if dtype[key] not in FLOATING.values():
            dtype[key] = FLOATING["float32"]

    # A file holds scales before codes, so each weight is rounded once for either.
    def parameter(key: ParameterKey) -> Weight:
        found = weight(key)
        if key not in quantization.schemes:
            return found
        assert isinstance(found, np.ndarray), "weights are dequantized before they come here"
        dense = found.astype(np.float32)
        check_finite(dense, model.path, f"weights {key.name}")
        return rounded(dense, scheme, dtype[key])

    return EightBits(quantization, dtype, parameter)


def _check_rows(model: Model, quantization: Quantization) -> None:
    layout = Layout.of(model.spec, model.sizes, "hf")
    for key in quantization.schemes:
        stored = layout.tensors[layout.source[key]]
        if stored.transposed:
            message = (
                f"{stored.name} is stored by input rows in Hugging Face's layout of "
                f"{model.spec.name} (Conv1D), and compressed-tensors has no such quantized "
                "weights. Choose --dtype bfloat16 or float16."
            )
            raise QuantizationError(message)
