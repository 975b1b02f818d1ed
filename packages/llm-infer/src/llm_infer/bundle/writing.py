"""Writes a bundle: every weight packed for one instruction set, one at a time in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from llm_infer.bundle.layout import ALIGNMENT, ARRAYS, DESCRIPTION, FORMAT, HEAD, VERSION
from llm_infer.quantize import GetWeight, Weight
from llm_kernels import ops
from llm_kernels.decoder_config import native_config
from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes, parameters
from llm_kernels.native import packed_isa, selected_isa
from llm_kernels.reference import unit_rows


def write_bundle(
    spec: FamilySpec,
    sizes: Sizes,
    weight: GetWeight,
    folder: Path,
    *,
    head: Callable[[np.ndarray], Weight] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Write bundle.json and bundle.bin into `folder`; the bytes of the latter.

    `head` makes what the head's floats are kept as. `advance` is told of every weight written.
    Raises UnsupportedSpecError for a model that the native decoder lacks something for.
    """
    native_config(spec, sizes)
    shapes = parameters(spec, sizes)
    entries: dict[str, Any] = {}
    with (folder / ARRAYS).open("wb") as file:
        writer = _Writer(file)
        for key in shapes:
            entries |= _written(writer, spec, key, weight, head)
            advance(1)
        if sizes.tied:
            value = _head_value(spec, weight(ParameterKey("embed")), head)
            entries[HEAD] = writer.packed(value)
        size = file.tell()
    description = {
        "format": FORMAT,
        "version": VERSION,
        "isa": packed_isa(selected_isa()),
        "size": size,
        "weights": entries,
    }
    text = json.dumps(description, separators=(",", ":"))
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    return size


def _written(
    writer: _Writer,
    spec: FamilySpec,
    key: ParameterKey,
    weight: GetWeight,
    head: Callable[[np.ndarray], Weight] | None,
) -> dict[str, Any]:
    """The entry of one parameter: a linear packed, all else as floats."""
    value = weight(key)
    if key.leaf == "weight" and SLOTS[key.slot].kind == "linear":
        if key.slot == HEAD:
            value = _head_value(spec, value, head)
        return {key.name: writer.packed(value)}
    if not isinstance(value, np.ndarray):
        value = value.dequantize()
    return {key.name: writer.plain(value)}


def _head_value(
    spec: FamilySpec, value: Weight, head: Callable[[np.ndarray], Weight] | None
) -> Weight:
    if spec.head.normalized and isinstance(value, np.ndarray):
        value = unit_rows(value.astype(np.float32))
    return head(value) if head is not None and isinstance(value, np.ndarray) else value


class _Writer:
    """Arrays end to end in a file, each at a multiple of ALIGNMENT."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def plain(self, array: np.ndarray) -> dict[str, Any]:
        """Floats, bfloat16 as they are and all others as float32."""
        kept = array if array.dtype == ml_dtypes.bfloat16 else array.astype(np.float32, copy=False)
        return {"dtype": kept.dtype.name, "shape": list(kept.shape), "at": self._append(kept)[0]}

    def packed(self, weight: Weight) -> dict[str, Any]:
        """A linear weight, packed for the instruction set that runs here."""
        if isinstance(weight, np.ndarray) and weight.dtype != ml_dtypes.bfloat16:
            weight = np.ascontiguousarray(weight, np.float32)
        arrays = ops.pack(weight).arrays()
        rounding = arrays.rounding
        return {
            "header": list(arrays.header),
            "rounding": None if rounding is None else [rounding.kind, rounding.scale],
            "codes": self._append(arrays.codes),
            "scales": None if arrays.scales is None else self._append(arrays.scales),
            "offsets": None if arrays.offsets is None else self._append(arrays.offsets),
        }

    def _append(self, array: np.ndarray) -> list[int]:
        """Where the array begins, and how many items it has."""
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        at = self._file.tell()
        self._file.write(np.ascontiguousarray(array).view(np.uint8).data)
        return [at, array.size]
