"""Float8 weights with a scale a block, as DeepSeek-V3 and Qwen3 publish them (`quant_method` fp8).

A linear [N, K] is stored as `weight` (float8 e4m3) and `weight_scale_inv` [ceil(N/a), ceil(K/b)],
one number for a block of a x b entries, the last ones cut off by the edge. Whatever its name says,
codes are multiplied by it, in float32 (`weight_dequant` of DeepSeek's kernel.py). They are read and
run; inputs, which the original rounds too, stay as they are.
Format: https://github.com/deepseek-ai/DeepSeek-V3 (README_WEIGHTS.md, inference/kernel.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorFile
from llm_convert.quantization.scheme import BLOCKS, FP8, Scheme
from llm_kernels.weights import Float8Weight

INVERSE = "_scale_inv"
_CODES = np.dtype(ml_dtypes.float8_e4m3fn)


def is_blockwise(config: Mapping[str, Any] | None) -> bool:
    """Whether a quantization_config is of this kind."""
    return config is not None and config.get("quant_method") == FP8 and bool(_stated(config))


@dataclass(frozen=True)
class BlockTensors:
    """The linears of such a checkpoint by the plain names of their weights."""

    files: TensorFile
    names: frozenset[str]
    parts: frozenset[str]
    """Every tensor of the files that belongs to one of them."""
    block: tuple[int, int]
    scheme: Scheme
    suffix: str = INVERSE

    def weight(self, name: str) -> Float8Weight | np.ndarray:
        """One linear, as codes; float32 [N, K] where blocks do not divide its inputs."""
        codes = np.ascontiguousarray(self.files[name])
        rows, columns = codes.shape
        height, width = self.block
        stored = np.asarray(self.files[name + INVERSE]).astype(np.float32)
        scales = np.repeat(stored, height, axis=0)[:rows]
        if columns % width == 0 or columns < width:
            return Float8Weight(codes, np.ascontiguousarray(scales))
        dense = codes.astype(np.float32)
        for start in range(0, columns, width):
            dense[:, start : start + width] *= scales[:, start // width, None]
        return dense


def block_tensors(files: TensorFile, config: Mapping[str, Any]) -> BlockTensors:
    """The linears that a configuration of this kind speaks of.

    Raises QuantizationError for blocks that are none, and for scales that are missing or do not
    fit.
    """
    height, width = _block(files, config)
    names = [name for name in files if files.info(name).dtype == _CODES]
    for name in names:
        shape = files.info(name).shape
        if name + INVERSE not in files:
            message = (
                f"{files.path}: {name} is float8 and has no {name}{INVERSE}. Take the whole "
                "checkpoint from one place."
            )
            raise QuantizationError(message)
        found = files.info(name + INVERSE).shape
        if len(shape) != 2 or found != (-(-shape[0] // height), -(-shape[1] // width)):
            message = (
                f"{files.path}: {name}{INVERSE} is {list(found)}, which is not a number for each "
                f"block of {height} x {width} of {name} {list(shape)}. Check weight_block_size in "
                "config.json."
            )
            raise QuantizationError(message)
    return BlockTensors(
        files,
        frozenset(names),
        frozenset(part for name in names for part in (name, name + INVERSE)),
        (height, width),
        Scheme(8, width, form=BLOCKS),
    )


def _stated(config: Mapping[str, Any]) -> object:
    return config.get("weight_block_size")


def _block(files: TensorFile, config: Mapping[str, Any]) -> tuple[int, int]:
    stated = _stated(config)
    sizes = stated if isinstance(stated, list) else []
    if len(sizes) == 2 and all(type(size) is int and size > 0 for size in sizes):
        return sizes[0], sizes[1]
    message = (
        f"{files.path}: weight_block_size in config.json's quantization_config is {stated!r}; it "
        "must be two numbers above 0, such as [128, 128]."
    )
    raise QuantizationError(message)
