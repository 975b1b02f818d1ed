"""GGUF files as models: the package gguf reads the header, tensors are views of a memory map.

F32, F16 and BF16 tensors are handed out as they are; Q8_0 and Q4_0 are dequantized to float32 when
they are asked for, one at a time. Every range is checked against the file before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

from llm_convert.errors import FileFormatError
from llm_convert.files.dtypes import BFLOAT16
from llm_convert.files.tensor_file import FileMap, TensorFile, TensorInfo
from llm_convert.foreign.gguf_metadata import config_of, file_metadata
from llm_convert.foreign.gguf_scan import check_lengths
from llm_convert.model import Model
from llm_convert.names.gguf import FREQUENCIES
from llm_kernels.families import detect, read_sizes

_PLAIN: Mapping[Kind, np.dtype] = MappingProxyType(
    {Kind.F32: np.dtype("<f4"), Kind.F16: np.dtype("<f2"), Kind.BF16: BFLOAT16}
)
_QUANTIZED = (Kind.Q8_0, Kind.Q4_0)
_EMBED, _HEAD = "token_embd.weight", "output.weight"


class _Place(NamedTuple):
    kind: Kind
    info: TensorInfo
    start: int
    stop: int


class GgufTensors(TensorFile):
    """The tensors of one file; `metadata` holds the scalars and texts of its header.

    Raises FileFormatError for a file that is missing, truncated or malformed, or whose types of
    elements are not supported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = FileMap(path)
        check_lengths(self._source)
        try:
            reader = gguf.GGUFReader(path)
            self.metadata = file_metadata(reader)
            self._places = {
                str(tensor.name): _place(path, tensor, len(self._source))
                for tensor in reader.tensors
            }
        except FileFormatError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            message = f"{path} is truncated or no GGUF file: {error}."
            raise FileFormatError(message) from error
        _check_apart(path, self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def info(self, name: str) -> TensorInfo:
        """Shape of one tensor and its type when read: float32 for a quantized one. KeyError."""
        return self._places[name].info

    def __getitem__(self, name: str) -> np.ndarray:
        """The tensor, dequantized where it is quantized. Raises KeyError."""
        kind, info, start, stop = self._places[name]
        data = np.frombuffer(self._source.data, np.uint8, stop - start, start)
        if not data.size:
            return np.zeros(info.shape, info.dtype)
        if kind in _PLAIN:
            return data.view(info.dtype).reshape(info.shape)
        rows = data.reshape(prod(info.shape[:-1]), -1)
        return gguf.quants.dequantize(rows, kind).reshape(info.shape)

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        self._source.release(self._places[name].start, self._places[name].stop)


def open_gguf(path: Path) -> Model:
    """Open a GGUF file of a family that `names.gguf` has a table of.

    Raises:
        FileFormatError: missing, truncated or malformed, or a quantization that is not supported.
        ConvertError: an architecture that is not supported.
        TensorMismatchError: tensors that do not fit the metadata, all listed at once.
    """
    files = GgufTensors(path)
    if _EMBED not in files or len(files.info(_EMBED).shape) != 2:
        message = f"{path} holds no language model: {_EMBED} is missing, or no matrix."
        raise FileFormatError(message)
    frequencies = files.get(FREQUENCIES)
    vocab = files.info(_EMBED).shape[0]
    config = config_of(files.metadata, vocab, frequencies, tied=_HEAD not in files)
    spec = detect(config)
    return Model(path, config, spec, read_sizes(spec, config), files)


def _place(path: Path, tensor: gguf.ReaderTensor, size: int) -> _Place:
    kind = Kind(tensor.tensor_type)
    if kind not in _PLAIN and kind not in _QUANTIZED:
        known = ", ".join(each.name for each in (*_PLAIN, *_QUANTIZED))
        message = (
            f"{path}: {tensor.name} is stored as {kind.name}; supported are {known}. Take the "
            "file of the model in one of these types."
        )
        raise FileFormatError(message)
    # Python's integers: products of a file's sizes may exceed 64 bits.
    shape = tuple(int(length) for length in reversed(tensor.shape.tolist()))
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    start = int(tensor.data_offset)
    stop = start + prod(shape) // per_block * block_bytes
    if not shape or shape[-1] % per_block or stop > size:
        message = (
            f"{path} is truncated or malformed: {tensor.name} of {kind.name} {list(shape)} lies at "
            f"bytes {start} to {stop}, the file has {size}."
        )
        raise FileFormatError(message)
    dtype = _PLAIN.get(kind, np.dtype(np.float32))
    return _Place(kind, TensorInfo(dtype, shape), start, stop)


def _check_apart(path: Path, places: Mapping[str, _Place]) -> None:
    ranges = sorted((place.start, place.stop, name) for name, place in places.items())
    for (_, stop, name), (start, _, following) in pairwise(ranges):
        if start < stop:
            message = f"{path}: the bytes of {following} overlap those of {name}."
            raise FileFormatError(message)
