"""NumPy arrays inside pickles, as places in the file instead of arrays.

The admitted names rebuild `numpy.ndarray` and `numpy.dtype` as every NumPy version pickles them
(protocols 2 to 5), plus the containers that state dicts use. Nothing of NumPy is called with what
the file says; a `PickledArray` only records element type, shape and where the bytes lie.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np

from llm_convert.files.pickle_reader import Buildable, Globals, LongText
from llm_convert.files.tensor_file import (
    MAX_SIZE,
    ByteRange,
    StoredTensor,
    TensorInfo,
    check_shape,
)

_ARRAY_CLASS: Final = "numpy.ndarray"
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


class PickledType(Buildable):
    """A `numpy.dtype` of plain numbers: kind and size, then the byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            message = f"arrays of {name!r}"[:100]
            raise ValueError(message)
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        """State (3, byte order, None, None, None, -1, -1, 0)."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            message = "a malformed numpy.dtype"
            raise ValueError(message)
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(Buildable):
    """A `numpy.ndarray`: `.stored` says what and where it is, once built."""

    def __init__(self, kind: Any, *_: Any) -> None:
        if kind is not _ARRAY_CLASS:
            message = "an array of another class"
            raise ValueError(message)
        self.stored: StoredTensor | None = None

    def build(self, state: Any) -> None:
        """State (version, shape, dtype, whether in Fortran order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            message = "a malformed numpy.ndarray"
            raise ValueError(message)
        _, shape, dtype, fortran, data = state
        self.stored = _stored(data, dtype, shape, fortran=bool(fortran))


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """Protocol 5 keeps contiguous arrays as a buffer with its description."""
    array = PickledArray(_ARRAY_CLASS)
    array.stored = _stored(data, dtype, shape, fortran=order == "F")
    return array


def _encode(text: Any, encoding: Any = "latin1") -> ByteRange | bytes:
    """Protocol 2 has no bytes: they are written as text, to be encoded as latin-1."""
    if encoding != "latin1" or not isinstance(text, str | LongText):
        message = "text in another encoding than latin1"
        raise ValueError(message)
    if isinstance(text, str):
        return text.encode("latin1")
    return ByteRange(text.start, text.stop, latin1=True)


def _tuple(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, tuple | list):
        message = f"a tuple of a {type(items).__name__}"
        raise TypeError(message)
    return tuple(items)


def _ordered_dictionary(pairs: Any = ()) -> dict[str, Any]:
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in pairs
    ):
        message = "a malformed OrderedDict"
        raise ValueError(message)
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "an OrderedDict with repeated keys"
        raise ValueError(message)
    return found


def _bytes() -> bytes:
    return b""


def _stored(data: Any, dtype: Any, shape: Any, *, fortran: bool) -> StoredTensor:
    if not isinstance(dtype, PickledType) or not isinstance(data, bytes | ByteRange):
        message = "a numpy.ndarray without a type or bytes"
        raise ValueError(message)
    info = TensorInfo(dtype.dtype, checked_shape(shape, dtype.dtype.itemsize))
    length = len(data) if isinstance(data, bytes) else data.stop - data.start
    exact = not (isinstance(data, ByteRange) and data.latin1)  # text: known when it is decoded
    if length < info.nbytes or (exact and length != info.nbytes):
        message = f"an array of {info.shape} needs {info.nbytes} bytes, the file has {length}"
        raise ValueError(message)
    strides = _fortran_strides(info.shape) if fortran else None
    return StoredTensor(info, (data,), strides)


def checked_shape(shape: Any, itemsize: int) -> tuple[int, ...]:
    """`shape` if it is a tuple of sizes that an array can have; ValueError otherwise."""
    sizes = checked_sizes(shape)
    check_shape(sizes, itemsize)
    return sizes


def checked_sizes(sizes: Any) -> tuple[int, ...]:
    """`sizes` if it is a tuple of integers from 0 to MAX_SIZE; ValueError otherwise."""
    if not isinstance(sizes, tuple) or not all(
        type(size) is int and 0 <= size <= MAX_SIZE for size in sizes
    ):
        message = "a shape that is no tuple of sizes"
        raise ValueError(message)
    return sizes


def _fortran_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[:axis]) for axis in range(len(shape)))


NUMPY_GLOBALS: Globals = {
    **{
        (module, "_reconstruct"): PickledArray
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    },
    **{
        (module, "_frombuffer"): _from_buffer
        for module in ("numpy.core.numeric", "numpy._core.numeric")
    },
    ("numpy", "ndarray"): _ARRAY_CLASS,
    ("numpy", "dtype"): PickledType,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered_dictionary,
    ("builtins", "tuple"): _tuple,
    ("__builtin__", "tuple"): _tuple,
    ("__builtin__", "bytes"): _bytes,
}
