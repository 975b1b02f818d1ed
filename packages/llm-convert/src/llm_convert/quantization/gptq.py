"""GPTQ's files (AutoGPTQ's format v1, and v2), shown as compressed-tensors' `pack-quantized` ones.

A linear [N, K] of b bits is stored as `qweight` int32 [K*b/32, N] (codes along K, the first in the
lowest bits), `qzeros` int32 [K/g, N*b/32] (v1: one less than the zero point), `scales` [K/g, N] and
`g_idx` int32 [K], the group of each input. Turned, the codes are those of `weight_packed`, so that
nothing is rounded again. Where inputs were taken out of order (`desc_act`), groups are no runs of
inputs: such a linear is shown dense. Format: https://github.com/AutoGPTQ/AutoGPTQ (qlinear).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.files.tensor_file import TensorFile, TensorInfo
from llm_convert.quantization.scheme import FORMAT, METHOD, PACKED, SCALE, SHAPE, WORD, ZERO

logger = logging.getLogger(__name__)

GPTQ = "gptq"
PARTS = ("qweight", "qzeros", "scales", "g_idx")


def is_gptq(config: Mapping[str, Any] | None) -> bool:
    """Whether a quantization_config is GPTQ's."""
    return config is not None and config.get("quant_method") == GPTQ


def as_packed(files: TensorFile, config: Mapping[str, Any]) -> tuple[TensorFile, dict[str, Any]]:
    """The files and the configuration of a GPTQ checkpoint as compressed-tensors has them.

    Raises QuantizationError for widths other than 4 and 8 bits and for parts that do not fit.
    """
    bits, group = config.get("bits"), config.get("group_size")
    if bits not in (4, 8) or not isinstance(group, int) or group == 0 or group < -1:
        message = (
            f"{files.path}: config.json asks for GPTQ with bits {bits!r} and group_size {group!r}; "
            "supported are 4 and 8 bits, in groups or, with -1, by row."
        )
        raise QuantizationError(message)
    shown = _GptqFiles(files, bits, None if group == -1 else group, _zero_offset(config))
    weights = {"num_bits": bits, "type": "int", "strategy": "channel" if group == -1 else "group"}
    groups = {
        f"group_{number}": {
            "weights": {**weights, "group_size": None if group == -1 else group, "symmetric": even}
        }
        for number, even in enumerate((True, False) if bits == 4 else (True,))
    }
    return shown, {"quant_method": METHOD, "format": FORMAT, "config_groups": groups}


def _zero_offset(config: Mapping[str, Any]) -> int:
    """What is added to a stored zero point: version 1 stores one less."""
    return 0 if config.get("checkpoint_format") == "gptq_v2" else 1


class _GptqFiles(TensorFile):
    """Tensors by compressed-tensors' names, made from GPTQ's when they are asked for."""

    def __init__(self, files: TensorFile, bits: int, group: int | None, zero_offset: int) -> None:
        self.path = files.path
        self._files = files
        self._bits, self._group, self._offset = bits, group, zero_offset
        self._names: dict[str, tuple[str, str]] = {}
        stems = [name.removesuffix(".qweight") for name in files if name.endswith(".qweight")]
        parts = {f"{stem}.{part}" for stem in stems for part in PARTS}
        self._plain = [name for name in files if name not in parts]
        dense = 0
        for stem in stems:
            self._check(stem)
            shown = self._shown(stem)
            dense += shown == ("",)
            self._names |= {f"{stem}.weight{part}": (stem, part) for part in shown}
        if dense:
            logger.warning(
                "%s: %d linears were quantized out of the order of their inputs (desc_act) or "
                "around other zeros than a kernel takes; they are read as dense ones",
                self.path,
                dense,
            )

    def __iter__(self) -> Iterator[str]:
        yield from self._plain
        yield from self._names

    def __len__(self) -> int:
        return len(self._plain) + len(self._names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            return self._files[name]
        stem, part = self._names[name]
        if part == PACKED:
            return np.ascontiguousarray(self._files[f"{stem}.qweight"].T)
        if part == SCALE:
            return np.ascontiguousarray(self._files[f"{stem}.scales"].T)
        if part == SHAPE:
            return np.array(self._shape(stem), np.int64)
        if part == ZERO:
            return _packed(self._zeros(stem).T, self._bits)
        return self._dense(stem)

    def info(self, name: str) -> TensorInfo:
        """Type and shape of one tensor. Raises KeyError."""
        if name not in self._names:
            return self._files.info(name)
        stem, part = self._names[name]
        rows, columns = self._shape(stem)
        scales = self._files.info(f"{stem}.scales")
        groups = scales.shape[0]
        return {
            PACKED: TensorInfo(WORD, (rows, columns * self._bits // 32)),
            SCALE: TensorInfo(scales.dtype, (rows, groups)),
            SHAPE: TensorInfo(np.dtype("<i8"), (2,)),
            ZERO: TensorInfo(WORD, (-(-rows * self._bits // 32), groups)),
            "": TensorInfo(np.dtype(np.float32), (rows, columns)),
        }[part]

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor."""
        stem, part = self._names.get(name, (None, ""))
        if stem is None:
            self._files.release(name)
        elif part in (PACKED, ""):
            self._files.release(f"{stem}.qweight")

    def _shown(self, stem: str) -> tuple[str, ...]:
        """The parts that stand for a linear: packed ones, or itself, dense."""
        groups = self._files.info(f"{stem}.scales").shape[0]
        columns = self._shape(stem)[1]
        size = self._group or columns
        in_order = np.array_equal(self._groups(stem), np.arange(columns) // size)
        middle = 1 << (self._bits - 1)
        even = bool((self._zeros(stem) == middle).all())
        if not in_order or groups * size != columns or (self._bits == 8 and not even):
            return ("",)
        return (PACKED, SCALE, SHAPE) if even else (PACKED, SCALE, SHAPE, ZERO)

    def _check(self, stem: str) -> None:
        lacking = [part for part in PARTS[:3] if f"{stem}.{part}" not in self._files]
        if lacking:
            message = f"{self.path}: {stem}.qweight is there without {', '.join(lacking)}."
            raise QuantizationError(message)
        rows, columns = self._shape(stem)
        groups = self._files.info(f"{stem}.scales").shape[0]
        wanted = {
            "scales": (groups, rows),
            "qzeros": (groups, rows * self._bits // 32),
            "g_idx": (columns,),
        }
        for part, shape in wanted.items():
            name = f"{stem}.{part}"
            if name in self._files and self._files.info(name).shape != shape:
                message = (
                    f"{self.path}: {name} has shape {list(self._files.info(name).shape)}, but "
                    f"{list(shape)} belongs to a linear of {rows} x {columns}. Take the whole "
                    "checkpoint from one place."
                )
                raise QuantizationError(message)

    def _shape(self, stem: str) -> tuple[int, int]:
        words, rows = self._files.info(f"{stem}.qweight").shape
        return rows, words * 32 // self._bits

    def _groups(self, stem: str) -> np.ndarray:
        """The group of each input, [K]."""
        if f"{stem}.g_idx" in self._files:
            return np.asarray(self._files[f"{stem}.g_idx"])
        columns = self._shape(stem)[1]
        return np.arange(columns) // (self._group or columns)

    def _zeros(self, stem: str) -> np.ndarray:
        """Zero points [K/g, N], uint8."""
        stored = _codes(self._files[f"{stem}.qzeros"], self._bits)
        # The sum wraps around, as it does in the kernels that the format was made for.
        mask = np.uint8((1 << self._bits) - 1)
        return (stored + np.uint8(self._offset)) & mask

    def _dense(self, stem: str) -> np.ndarray:
        groups = self._groups(stem)
        codes = _codes(np.ascontiguousarray(self._files[f"{stem}.qweight"].T), self._bits)
        scales = self._files[f"{stem}.scales"].astype(np.float32)[groups].T
        return (codes.astype(np.float32) - self._zeros(stem)[groups].T) * scales


def _codes(words: np.ndarray, bits: int) -> np.ndarray:
    """int32 [R, W] as codes uint8 [R, W * 32 / bits], the first in the lowest bits."""
    parts = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return parts
    codes = np.empty((parts.shape[0], 2 * parts.shape[1]), np.uint8)
    codes[:, 0::2], codes[:, 1::2] = parts & 15, parts >> 4
    return codes


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes [N, G] as int32 [N * bits / 32, G], packed along N; inverse of `_codes` of the turn."""
    turned = np.ascontiguousarray(codes.T)
    if bits == 4:
        turned = turned[:, 0::2] | (turned[:, 1::2] << 4)
    return np.ascontiguousarray(np.ascontiguousarray(turned).view(WORD).T)
