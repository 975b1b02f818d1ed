"""A weight file as a mapping from tensor name to a read-only, memory-mapped array.

Opening reads the table of contents and checks every range against the file; the data itself is
read when a tensor is asked for. `release` gives the pages of a tensor back to the system, so that
a walk over a file larger than memory keeps about one tensor resident.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_convert.errors import FileFormatError

# NumPy 1 has arrays of up to 32 axes (NumPy 2: 64), and sizes in bytes of 63 bits.
MAX_AXES = 32
MAX_SIZE = (1 << 63) - 1


def check_shape(shape: Sequence[int], itemsize: int = 1) -> None:
    """Raise ValueError where no array has this shape, before anything is computed of all of it.

    Args:
        shape: sizes that are not negative; axes of no length count as one, as in NumPy.
        itemsize: bytes of an element.
    """
    if len(shape) > MAX_AXES:
        message = f"a shape of {len(shape)} axes; at most {MAX_AXES} can be read"
        raise ValueError(message)
    size = itemsize
    for axis, length in enumerate(shape):
        size *= length or 1
        if size > MAX_SIZE:
            message = (
                f"a shape of {len(shape)} axes with more than {MAX_SIZE} bytes, the limit, in its "
                f"first {axis + 1}"
            )
            raise ValueError(message)


class TensorInfo(NamedTuple):
    """Type and shape of a stored tensor, known without reading it."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when laid out densely."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` to `stop` of a file; `latin1`: they are UTF-8 text to be encoded as latin-1."""

    start: int
    stop: int
    latin1: bool = False


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: its pieces in order, and strides in elements unless it is dense."""

    info: TensorInfo
    pieces: tuple[ByteRange | bytes, ...]
    strides: tuple[int, ...] | None = None


class TensorFile(Mapping[str, np.ndarray]):
    """What every reader gives: names, types, shapes, and arrays on demand."""

    path: Path

    def info(self, name: str) -> TensorInfo:
        """Type and shape of one tensor, without reading its data. Raises KeyError."""
        raise NotImplementedError

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        raise NotImplementedError


class FileMap:
    """A whole file mapped read-only; empty and missing files are errors.

    Raises:
        FileFormatError: the file is missing, unreadable or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            message = f"{path} does not exist."
            raise FileFormatError(message) from error
        except ValueError as error:
            message = f"{path} is empty (0 bytes). Copy or download it again."
            raise FileFormatError(message) from error
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}."
            raise FileFormatError(message) from error

    def __len__(self) -> int:
        return len(self.data)

    def release(self, start: int, stop: int) -> None:
        """Drop the whole pages inside `start` to `stop` from this process."""
        page = mmap.PAGESIZE
        first, last = -(-start // page) * page, stop // page * page
        if stop == len(self.data):
            last = stop
        if last > first and hasattr(self.data, "madvise"):
            self.data.madvise(mmap.MADV_DONTNEED, first, last - first)


class MappedTensors(TensorFile):
    """A `TensorFile` over one mapped file and a checked table of contents."""

    def __init__(
        self,
        source: FileMap,
        table: Mapping[str, StoredTensor],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        # Reading the table of contents of a pickle touches the whole length of the file, and the
        # system maps far more around every place than was read.
        source.release(0, len(source))
        self.path = source.path
        self.metadata = dict(metadata or {})
        self._source = source
        self._table = dict(table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def info(self, name: str) -> TensorInfo:
        """Type and shape of one tensor, without reading its data. Raises KeyError."""
        return self._table[name].info

    def __getitem__(self, name: str) -> np.ndarray:
        """The tensor, read-only; a view of the file wherever the file holds it in one piece.

        Raises:
            KeyError: no such tensor.
            FileFormatError: text-encoded data (pickle protocol 2) of the wrong length.
        """
        stored = self._table[name]
        dtype, shape = stored.info
        data = self._bytes(stored.pieces)
        needed = stored.info.nbytes
        if stored.strides is None and len(data) != needed:
            message = (
                f"{self.path}: tensor {name} holds {len(data)} bytes, but {shape} of {dtype} "
                f"needs {needed}."
            )
            raise FileFormatError(message)
        flat = np.frombuffer(data, dtype=dtype)
        if stored.strides is None:
            return flat.reshape(shape)
        steps = tuple(step * dtype.itemsize for step in stored.strides)
        return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        for piece in self._table[name].pieces:
            if isinstance(piece, ByteRange):
                self._source.release(piece.start, piece.stop)

    def _bytes(self, pieces: tuple[ByteRange | bytes, ...]) -> bytes | memoryview:
        parts = [self._piece(piece) for piece in pieces]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, piece: ByteRange | bytes) -> bytes | memoryview:
        if isinstance(piece, bytes):
            return piece
        view = memoryview(self._source.data)[piece.start : piece.stop]
        if not piece.latin1:
            return view
        try:
            return str(view, "utf-8").encode("latin-1")
        except UnicodeError as error:
            message = f"{self.path}: bytes {piece.start} to {piece.stop} are not encoded bytes."
            raise FileFormatError(message) from error
