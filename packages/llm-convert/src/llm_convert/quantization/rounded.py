"""Eight bits without packing: compressed-tensors' `int-quantized` and `float-quantized` files.

A linear [N, K] is stored as `weight` (int8 or float8 e4m3) and `weight_scale` [N, 1] (or one number
for all); where inputs are rounded by calibration, `input_scale` holds their scale, else every token
has one of its own (`dynamic`). AutoFP8's files (`quant_method` fp8 without blocks) hold the same
tensors, one number for all of a weight. Format: https://github.com/vllm-project/compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorFile
from llm_convert.quantization.scheme import (
    EIGHT_BITS,
    FP8,
    INPUT_SCALE,
    METHOD,
    SCALE,
    Scheme,
    stem,
)
from llm_kernels.weights import Float8Weight, InputRounding, Int8Weight, RoundedInputs


def is_rounded(config: Mapping[str, Any] | None) -> bool:
    """Whether a quantization_config is of one of these formats."""
    if config is None or config.get("quant_method") != METHOD:
        return False
    return config.get("format") in EIGHT_BITS


def from_auto_fp8(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """AutoFP8's quantization_config as compressed-tensors states it; any other one as it is."""
    if config.get("quant_method") != FP8 or config.get("weight_block_size"):
        return config
    dynamic = config.get("activation_scheme", "dynamic") == "dynamic"
    inputs = {"num_bits": 8, "strategy": "token" if dynamic else "tensor", "dynamic": dynamic}
    weights = {"num_bits": 8, "strategy": "tensor"}
    groups = {"group_0": {"weights": weights, "input_activations": inputs}}
    return {"quant_method": METHOD, "format": "float-quantized", "config_groups": groups}


@dataclass(frozen=True)
class RoundedTensors:
    """The linears of such a checkpoint by the plain names of their weights."""

    files: TensorFile
    names: frozenset[str]
    parts: frozenset[str]
    """Every tensor of the files that belongs to one of them."""
    scheme: Scheme
    """How every one of them is held, and its inputs are rounded."""
    suffix: str = SCALE

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
        if self.scheme.inputs is None:
            return held
        if self.scheme.inputs == "dynamic":
            return RoundedInputs(held, InputRounding(f"{kind}_token"))  # type: ignore[arg-type]
        scale = float(np.asarray(self.files[stem(name) + INPUT_SCALE], np.float32).max())
        return RoundedInputs(held, InputRounding(f"{kind}_static", scale))  # type: ignore[arg-type]


def rounded_tensors(files: TensorFile, config: Mapping[str, Any]) -> RoundedTensors:
    """The linears that a configuration of these formats speaks of.

    Raises QuantizationError for what is not supported and for parts that are missing.
    """
    dtype = EIGHT_BITS[config["format"]]
    inputs = _inputs(files, config)
    names = {name for name in files if name.endswith(".weight") and files.info(name).dtype == dtype}
    parts = set()
    for name in names:
        wanted = [name + SCALE, *([stem(name) + INPUT_SCALE] if inputs == "static" else [])]
        lacking = [part for part in wanted if part not in files]
        if lacking:
            message = f"{files.path}: {name} is there without {', '.join(lacking)}."
            raise QuantizationError(message)
        parts |= {name, name + SCALE, stem(name) + INPUT_SCALE}
    scheme = Scheme(8, None, form=config["format"], inputs=inputs)
    return RoundedTensors(files, frozenset(names), frozenset(parts), scheme)


def _inputs(files: TensorFile, config: Mapping[str, Any]) -> Literal["dynamic", "static"] | None:
    """How inputs are rounded; the same for all groups."""
    found: set[Literal["dynamic", "static"] | None] = set()
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
