"""compressed-tensors' `int-quantized` and `float-quantized` files: eight bits, inputs rounded too.

A linear [N, K] is stored as `weight` (int8 or float8 e4m3) and `weight_scale` [N, 1] (or one number
for all); where inputs are rounded by calibration, `input_scale` holds their scale, else every token
has one of its own (`dynamic`). Format: https://github.com/vllm-project/compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorFile
from llm_convert.quantization.scheme import METHOD, SCALE
from llm_kernels.weights import Float8Weight, InputRounding, Int8Weight, RoundedInputs

FORMATS: Mapping[str, np.dtype] = {
    "int-quantized": np.dtype(np.int8),
    "float-quantized": np.dtype(ml_dtypes.float8_e4m3fn),
}
INPUT_SCALE = ".input_scale"


def is_rounded(config: Mapping[str, Any] | None) -> bool:
    """Whether a quantization_config is of one of these formats."""
    if config is None or config.get("quant_method") != METHOD:
        return False
    return config.get("format") in FORMATS


@dataclass(frozen=True)
class RoundedTensors:
    """The linears of such a checkpoint by the plain names of their weights."""

    files: TensorFile
    names: frozenset[str]
    parts: frozenset[str]
    """Every tensor of the files that belongs to one of them."""
    inputs: str | None
    """How inputs are rounded: dynamic, static, or None for not at all."""

    def weight(self, name: str) -> RoundedInputs | Int8Weight | Float8Weight:
        """One linear with the rounding of its inputs."""
        codes = np.ascontiguousarray(self.files[name])
        stored = np.asarray(self.files[name + SCALE], np.float32).reshape(-1)
        if stored.size not in (1, len(codes)):
            message = (
                f"{self.files.path}: {name}{SCALE} has {stored.size} numbers for {len(codes)} "
                "rows; supported are one a row, and one for all."
            )
            raise QuantizationError(message)
        scales = np.ascontiguousarray(np.broadcast_to(stored.reshape(-1, 1), (len(codes), 1)))
        kind = "int8" if codes.dtype == np.int8 else "float8"
        held = Int8Weight(codes, scales) if kind == "int8" else Float8Weight(codes, scales)
        if self.inputs is None:
            return held
        if self.inputs == "dynamic":
            return RoundedInputs(held, InputRounding(f"{kind}_token"))  # type: ignore[arg-type]
        scale = float(np.asarray(self.files[_stem(name) + INPUT_SCALE], np.float32).max())
        return RoundedInputs(held, InputRounding(f"{kind}_static", scale))  # type: ignore[arg-type]


def rounded_tensors(files: TensorFile, config: Mapping[str, Any]) -> RoundedTensors:
    """The linears that a configuration of these formats speaks of.

    Raises QuantizationError for what is not supported and for parts that are missing.
    """
    dtype = FORMATS[config["format"]]
    inputs = _inputs(files, config)
    names = {name for name in files if name.endswith(".weight") and files.info(name).dtype == dtype}
    parts = set()
    for name in names:
        wanted = [name + SCALE, *([_stem(name) + INPUT_SCALE] if inputs == "static" else [])]
        lacking = [part for part in wanted if part not in files]
        if lacking:
            message = f"{files.path}: {name} is there without {', '.join(lacking)}."
            raise QuantizationError(message)
        parts |= {name, name + SCALE, _stem(name) + INPUT_SCALE}
    return RoundedTensors(files, frozenset(names), frozenset(parts), inputs)


def _inputs(files: TensorFile, config: Mapping[str, Any]) -> str | None:
    """How inputs are rounded; the same for all groups."""
    found: set[str | None] = set()
    try:
        groups = list(config["config_groups"].values())
        for group in groups:
            _check(files, "weights", group["weights"], ("channel", "tensor"))
            stated = group.get("input_activations")
            if stated:
                _check(files, "input_activations", stated, ("token", "tensor"))
            found.add(None if not stated else "dynamic" if stated.get("dynamic") else "static")
    except (KeyError, TypeError, AttributeError) as error:
        message = f"config.json's quantization_config is malformed: {error}."
        raise QuantizationError(message) from error
    if len(found) != 1:
        message = (
            f"{files.path}: config.json rounds inputs in several ways, which is not supported."
        )
        raise QuantizationError(message)
    return found.pop()


def _check(files: TensorFile, what: str, stated: Mapping[str, Any], kinds: tuple[str, ...]) -> None:
    strategy = stated.get("strategy") or "tensor"
    symmetric = stated.get("symmetric", True)
    if stated["num_bits"] == 8 and symmetric and strategy in kinds:
        return
    message = (
        f"{files.path}: config.json asks for {what} of {stated['num_bits']} bits by {strategy}"
        f"{'' if symmetric else ', asymmetric'}; supported are 8 bits, symmetric, by "
        f"{' or '.join(kinds)}."
    )
    raise QuantizationError(message)


def _stem(name: str) -> str:
    return name.removesuffix(".weight")
