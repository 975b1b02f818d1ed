"""PaddlePaddle's `.pdparams`: a pickled dict of NumPy arrays, read and written without paddle.

Read: what `paddle.save` writes for a state dict with protocols 2 to 4 (names table, tensors saved
as (name, array), arrays above 1 GiB cut into slices under `UnpackBigParamInfor@@`); protocol 4
arrays are memory-mapped in place. Written: protocol 4, streamed one tensor at a time, readable by
`paddle.load`. PaddlePaddle keeps bfloat16 as uint16; both directions translate.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from llm_cli.outputs import written_file
from llm_convert.errors import FileFormatError
from llm_convert.files.array_writer import ArrayWriter
from llm_convert.files.dtypes import BFLOAT16
from llm_convert.files.numpy_pickle import NUMPY_GLOBALS, PickledArray, checked_shape
from llm_convert.files.pickle_reader import PickleReader
from llm_convert.files.tensor_file import FileMap, MappedTensors, StoredTensor, TensorInfo

_NAME_TABLE = "StructuredToParameterName@@"
_SLICES = "UnpackBigParamInfor@@"
_UINT16 = np.dtype("<u2")


def open_pdparams(path: Path) -> MappedTensors:
    """Map a .pdparams file whose top level is a state dict.

    Raises:
        UnsafePickleError: the pickle uses a name that rebuilding arrays does not need.
        FileFormatError: truncated, malformed, or not a dict of arrays.
    """
    source = FileMap(path)
    state = PickleReader(source.data, path, NUMPY_GLOBALS).load()
    if not isinstance(state, dict):
        message = f"{path} holds a {type(state).__name__}, not a state dict of tensors."
        raise FileFormatError(message)
    slices = state.pop(_SLICES, {})
    state.pop(_NAME_TABLE, None)
    table = {name: _tensor(path, name, value) for name, value in state.items()}
    return MappedTensors(source, _joined(path, table, slices))


def _tensor(path: Path, name: Any, value: Any) -> StoredTensor:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]  # a Tensor saved on its own: (its name, its data)
    if not isinstance(name, str) or not isinstance(value, PickledArray) or value.stored is None:
        message = f"{path}: entry {str(name)[:100]!r} is no tensor but a {type(value).__name__}."
        raise FileFormatError(message)
    return _bfloat16(value.stored)


def _bfloat16(stored: StoredTensor) -> StoredTensor:
    """PaddlePaddle has no uint16 tensors: such arrays are the bits of bfloat16."""
    if stored.info.dtype != _UINT16:
        return stored
    return StoredTensor(stored.info._replace(dtype=BFLOAT16), stored.pieces, stored.strides)


def _joined(path: Path, table: dict[str, StoredTensor], slices: Any) -> dict[str, StoredTensor]:
    """Put the slices of large parameters together again; the data stays where it is."""
    try:
        for name, entry in slices.items():
            # Hashing nested tuples can take exponential time.
            if not all(isinstance(part, str) for part in entry["slices"]):
                message = f"the slices of {name} are no names"
                raise TypeError(message)
            parts = [table.pop(part) for part in entry["slices"]]
            (dtype,) = {part.info.dtype for part in parts}
            info = TensorInfo(dtype, checked_shape(entry["OriginShape"], dtype.itemsize))
            if info.nbytes != sum(part.info.nbytes for part in parts):
                message = f"the slices of {name} do not add up to {info.shape}"
                raise ValueError(message)
            table[name] = StoredTensor(
                info, tuple(piece for part in parts for piece in part.pieces)
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{path}: {_SLICES} is malformed: {error}."
        raise FileFormatError(message) from error
    return table


def write_pdparams(
    path: Path,
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    *,
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a state dict, asking `read(name)` for one tensor after the other.

    The old file, if any, stays in place until the new one is complete.

    Args:
        tensors: type and shape of each tensor, in file order.
        read: the array of a name, exactly of that type and shape.
        written: told the bytes written after each piece, for a progress bar.

    Raises:
        FileFormatError: `read` gave another type or shape than announced, or a type that
            PaddlePaddle's files cannot hold.
    """
    with written_file(path, streamed=True) as stream:
        stream.write(b"\x80\x04}")
        arrays = ArrayWriter(stream, written)
        for name, info in tensors.items():
            array = read(name)
            if (array.dtype, array.shape) != info:
                message = (
                    f"{path}: tensor {name} is {array.dtype} {array.shape}, announced as "
                    f"{info.dtype} {info.shape}."
                )
                raise FileFormatError(message)
            stream.write(_text(name))
            _write_array(stream, path, array, arrays)
            stream.write(b"s")
        stream.write(b".")


def _write_array(stream: BinaryIO, path: Path, array: np.ndarray, arrays: ArrayWriter) -> None:
    if array.dtype == BFLOAT16:
        array = array.view(_UINT16)
    if array.dtype.kind not in "biuf" or array.dtype.byteorder == ">":
        message = f"{path}: .pdparams files cannot hold {array.dtype}."
        raise FileFormatError(message)
    code = array.dtype.str[1:]
    order = array.dtype.str[0]
    # numpy.core is the module's name up to NumPy 1; NumPy 2 keeps it for pickles like this one.
    stream.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R")
    stream.write(b"(K\x01(" + b"".join(map(_integer, array.shape)) + b"t")
    stream.write(b"cnumpy\ndtype\n" + _text(code) + b"\x89\x88\x87R")
    stream.write(b"(K\x03" + _text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
    stream.write(b"\x89\x8e" + struct.pack("<Q", array.nbytes))
    arrays.write(array)
    stream.write(b"tb")


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)
