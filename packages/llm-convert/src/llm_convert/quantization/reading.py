"""From stored tensors and their configuration to quantized weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorFile
from llm_convert.layout import Weight
from llm_convert.quantization.blockwise import BlockTensors, block_tensors, is_blockwise
from llm_convert.quantization.gptq import as_packed, is_gptq
from llm_convert.quantization.rounded import (
    RoundedTensors,
    from_auto_fp8,
    is_rounded,
    rounded_tensors,
)
from llm_convert.quantization.scheme import (
    EIGHT_BITS,
    FIELD,
    FORMAT,
    FP8,
    METHOD,
    PACKED,
    SCALE,
    SHAPE,
    ZERO,
    Scheme,
    stored_infos,
)
from llm_kernels.weights import Int4Weight, Int8Weight


class QuantizedTensors(Mapping[str, Weight]):
    """The tensors of files with the parts of each quantized linear joined under its plain name.

    Raises:
        QuantizationError: a format that is not supported, or parts that contradict each other or
            the configuration.
    """

    def __init__(self, files: TensorFile, config: Mapping[str, Any] | None) -> None:
        if config is not None and is_gptq(config):
            files, config = as_packed(files, config)
        self._files = files
        self._schemes: dict[str, Scheme] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._whole: RoundedTensors | BlockTensors | None = None
        if config is None:
            self._shapes = {name: files.info(name).shape for name in files}
            _check_dense(files)
            return
        config = from_auto_fp8(config)
        if is_rounded(config) or is_blockwise(config):
            read = rounded_tensors if is_rounded(config) else block_tensors
            whole = self._whole = read(files, config)
            self._schemes = dict.fromkeys(whole.names, whole.scheme)
            kept = (name for name in files if name not in whole.parts)
            self._shapes = {name: files.info(name).shape for name in (*kept, *whole.names)}
            return
        allowed = _allowed_schemes(config)
        parts = set()
        for packed in files:
            if packed.endswith(".weight" + PACKED):
                name = packed.removesuffix(PACKED)
                shape = _original_shape(files, name)
                self._schemes[name] = _scheme(files, name, shape, allowed)
                self._shapes[name] = shape
                parts |= {name + part for part in (PACKED, SCALE, SHAPE, ZERO)}
        self._shapes |= {name: files.info(name).shape for name in files if name not in parts}

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> Weight:
        scheme = self._schemes.get(name)
        if scheme is None:
            return self._files[name]
        return self._whole.weight(name) if self._whole else self._weight(name, scheme)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Plain name -> shape, [N, K] for quantized linears."""
        return self._shapes

    def scheme(self, name: str) -> Scheme | None:
        """How a tensor is quantized; None for a dense one."""
        return self._schemes.get(name)

    def dtype(self, name: str) -> np.dtype:
        """Element type of a tensor; of a quantized one, that of its scales."""
        suffix = self._whole.suffix if self._whole else SCALE
        return self._files.info(name + suffix if name in self._schemes else name).dtype

    def release(self, name: str) -> None:
        """Let the system drop the memory of a tensor and its scales."""
        packed = name in self._schemes and self._whole is None
        for part in (PACKED, SCALE) if packed else ("",):
            self._files.release(name + part)

    def _weight(self, name: str, scheme: Scheme) -> Int4Weight | Int8Weight:
        rows, columns = self._shapes[name]
        packed = self._files[name + PACKED].view(np.uint8)
        scales = self._files[name + SCALE].astype(np.float32, copy=False)
        if scheme.num_bits == 8:
            codes = (packed[:, :columns] ^ np.uint8(0x80)).view(np.int8)
            return Int8Weight(codes=codes, scales=scales)
        zeros = None
        if not scheme.symmetric:
            words = np.ascontiguousarray(self._files[name + ZERO].T).view(np.uint8)
            zeros = np.ascontiguousarray(_nibbles(words)[:, :rows].T)
        return Int4Weight(
            packed=packed[:, : columns // 2],
            scales=scales,
            zeros=zeros,
            group_size=scheme.group_size or columns,
        )


def _check_dense(files: TensorFile) -> None:
    packed = [name for name in files if name.endswith(".weight" + PACKED)]
    if packed:
        message = (
            f"{files.path} holds {len(packed)} packed weights, but config.json has no {FIELD}. "
            "Copy the config.json that was written with them."
        )
        raise QuantizationError(message)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Bytes [R, B] as codes 0..15 [R, 2B]; inverse of `_pack_nibbles`."""
    codes = np.empty((packed.shape[0], packed.shape[1] * 2), np.uint8)
    codes[:, 0::2] = packed & 15
    codes[:, 1::2] = packed >> 4
    return codes


def _allowed_schemes(config: Mapping[str, Any]) -> list[Scheme]:
    method, form = config.get("quant_method"), config.get("format")
    if method != METHOD or form != FORMAT:
        message = (
            f"config.json asks for quantization by {method!r}, format {form!r}; supported are "
            f"{METHOD!r} with the formats {', '.join([FORMAT, *EIGHT_BITS])}, 'gptq', and {FP8!r}. "
            "Take the unquantized checkpoint."
        )
        raise QuantizationError(message)
    try:
        return [_read_scheme(group) for group in config["config_groups"].values()]
    except (KeyError, TypeError, AttributeError) as error:
        message = f"config.json's quantization_config is malformed: {error}."
        raise QuantizationError(message) from error


def _read_scheme(group: Mapping[str, Any]) -> Scheme:
    weights = group["weights"]
    strategy = weights.get("strategy") or ("group" if weights.get("group_size") else "channel")
    unsupported = {
        "activations": group.get("input_activations") or group.get("output_activations"),
        "type": weights.get("type", "int") != "int" and weights["type"],
        "strategy": strategy not in ("group", "channel") and strategy,
        "actorder": weights.get("actorder") in ("group", "dynamic") and weights["actorder"],
        "dynamic": weights.get("dynamic"),
    }
    wrong = [f"{name} {value}" for name, value in unsupported.items() if value]
    if wrong:
        message = (
            f"config.json asks for quantized {', '.join(wrong)}, which is not supported; "
            "supported are integer weights by group or channel."
        )
        raise QuantizationError(message)
    size = weights.get("group_size") if strategy == "group" else None
    return Scheme(weights["num_bits"], size, weights.get("symmetric", True))


def _original_shape(files: TensorFile, name: str) -> tuple[int, int]:
    lacking = [part for part in (SCALE, SHAPE) if name + part not in files]
    if lacking:
        message = f"{files.path}: {name}{PACKED} is there without {', '.join(lacking)}."
        raise QuantizationError(message)
    shape = files[name + SHAPE]
    if shape.shape != (2,) or shape.dtype.kind != "i" or (shape < 1).any():
        message = f"{files.path}: {name}{SHAPE} must hold the two sizes of the weight."
        raise QuantizationError(message)
    return int(shape[0]), int(shape[1])


def _scheme(files: TensorFile, name: str, shape: tuple[int, int], allowed: list[Scheme]) -> Scheme:
    """The announced scheme that this linear's tensors have the types and shapes of."""
    have = {
        name + part: files.info(name + part)
        for part in (PACKED, SCALE, SHAPE, ZERO)
        if name + part in files
    }
    scale = have[name + SCALE].dtype
    for scheme in allowed:
        fits = not scheme.group_size or shape[1] % scheme.group_size == 0
        if fits and stored_infos(name, shape, scheme, scale) == have:
            return scheme
    held = ", ".join(f"{part} {list(info.shape)} {info.dtype}" for part, info in have.items())
    message = (
        f"{files.path}: {name} {list(shape)} is held as {held}, which fits none of the schemes of "
        f"config.json: {', '.join(map(str, allowed))}."
    )
    raise QuantizationError(message)
