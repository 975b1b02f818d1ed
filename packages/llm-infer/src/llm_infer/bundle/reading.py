"""A bundle, mapped: the model of a folder that `llm infer export` wrote for the native engine.

Nothing in its files is trusted: every number is checked before it points anywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_infer.bundle.layout import ARRAYS, DESCRIPTION, DTYPES, FORMAT, HEAD, VERSION
from llm_infer.described import describe
from llm_infer.errors import InferError
from llm_infer.quantize import quantizable
from llm_kernels.errors import ShapeError
from llm_kernels.families import FamilySpec, ParameterKey, Sizes, parameters
from llm_kernels.native import packed_isa, usable_isas
from llm_kernels.weights import InputRounding, PackedArrays


@dataclass(frozen=True)
class BundledModel:
    """What the engine asks of a model, out of a mapped bundle."""

    path: Path
    config: dict[str, Any]
    spec: FamilySpec
    sizes: Sizes
    isa: str
    """The instruction set that the weights were packed for."""
    size: int
    """Bytes of the mapped file."""
    _entries: dict[str, Any]
    _bytes: np.ndarray
    quantization: None = None

    @property
    def rounds_inputs(self) -> bool:
        """Whether a linear of a layer rounds its inputs."""
        linears = [key for key in parameters(self.spec, self.sizes) if quantizable(key)]
        return any(getattr(self.weight(key), "rounding", None) is not None for key in linears)

    def weight(self, key: ParameterKey) -> Any:
        """A canonical parameter: PackedArrays of a linear, else an array. Raises InferError."""
        return self._value(key.name)

    def head(self, _: np.ndarray) -> Any:
        """The packed head of a tied model, whose embedding is in the bundle as floats."""
        return self._value(HEAD)

    def _value(self, name: str) -> np.ndarray | PackedArrays:
        entry = self._entries.get(name)
        try:
            if entry is None:
                message = "it is missing"
                raise ValueError(message)
            return self._packed(entry) if "header" in entry else self._plain(entry)
        except (ShapeError, TypeError, ValueError, KeyError, AttributeError) as error:
            message = (
                f"{self.path / DESCRIPTION}: the entry {name} cannot be used ({error}). Write the "
                "bundle again with `llm infer export`."
            )
            raise InferError(message) from error

    def _plain(self, entry: dict[str, Any]) -> np.ndarray:
        shape = tuple(int(number) for number in entry["shape"])
        dtype = DTYPES[entry["dtype"]]
        return self._part([entry["at"], int(np.prod(shape))], dtype).reshape(shape)

    def _packed(self, entry: dict[str, Any]) -> PackedArrays:
        number, rows, inputs, group = (int(value) for value in entry["header"])
        rounding = entry["rounding"]
        floats = np.dtype(np.float32)
        return PackedArrays(
            packed_isa(self.isa),
            (number, rows, inputs, group),
            self._part(entry["codes"], np.dtype(np.uint8)),
            self._part(entry["scales"], floats) if entry["scales"] else None,
            self._part(entry["offsets"], floats) if entry["offsets"] else None,
            None if rounding is None else InputRounding(rounding[0], float(rounding[1])),
        )

    def _part(self, place: list[int], dtype: np.dtype[Any]) -> np.ndarray:
        """`place`: first byte and number of items."""
        begin, count = int(place[0]), int(place[1])
        end = begin + count * dtype.itemsize
        if begin < 0 or count < 0 or end > len(self._bytes) or begin % dtype.itemsize:
            message = f"bytes {begin} to {end} are not in {ARRAYS}"
            raise ValueError(message)
        return self._bytes[begin:end].view(dtype)


def open_bundle(path: str | Path) -> BundledModel:
    """Map the bundle in a folder. Raises InferError where it is none, broken, or not for here."""
    model = describe(path)
    file = model.path / DESCRIPTION
    if not file.is_file():
        message = (
            f"{model.path} holds no packed bundle ({DESCRIPTION}). Write one with `llm infer "
            "export`, or run the model's own files with --mode dynamic."
        )
        raise InferError(message)
    described = _description(file)
    arrays = model.path / ARRAYS
    size = arrays.stat().st_size if arrays.is_file() else -1
    if size != described["size"] or size == 0:
        message = (
            f"{arrays} has {max(size, 0)} bytes, where {DESCRIPTION} says {described['size']}. "
            "Copy the folder again, or write it again with `llm infer export`."
        )
        raise InferError(message)
    isa = described["isa"]
    readers = [level for level in usable_isas() if packed_isa(level) == isa]
    if not readers:
        message = (
            f"{model.path} was packed for {isa}, and {', '.join(usable_isas())} run here. Export "
            f"it here, or with LLM_KERNELS_ISA={packed_isa(usable_isas()[-1])} there."
        )
        raise InferError(message)
    mapped = np.memmap(arrays, np.uint8, "r")
    return BundledModel(
        model.path,
        model.config,
        model.spec,
        model.sizes,
        readers[-1],
        size,
        described["weights"],
        np.asarray(mapped),
    )


def _description(file: Path) -> dict[str, Any]:
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
        known = described["format"] == FORMAT and described["version"] == VERSION
        weights, size, isa = described["weights"], described["size"], described["isa"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{file} is no description of a bundle ({error}). Write it again."
        raise InferError(message) from error
    if not (known and isinstance(weights, dict) and isinstance(size, int) and isinstance(isa, str)):
        message = (
            f"{file} describes no bundle of version {VERSION}, which this program reads. Write it "
            "again with `llm infer export`."
        )
        raise InferError(message)
    return dict(described)
