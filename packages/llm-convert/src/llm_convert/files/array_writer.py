"""Arrays into a stream, element after element in C order, a few MB at a time.

A linear that is stored the other way round arrives as the transposed view of a memory map. NumPy
copies such a view element by element; llm-kernels transposes it in blocks, many times as fast.
While a piece is hashed and handed to the disk (`llm_cli.folder_files`), the next one is transposed,
into memory that no earlier one needs any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from llm_cli.folder_files import write_shared
from llm_convert.files.page_memory import PageMemory
from llm_kernels import ops
from llm_kernels.errors import NativeUnavailableError
from llm_kernels.native import extension
from llm_kernels.ops.transpose import ITEM_BYTES

logger = logging.getLogger(__name__)

PIECE_BYTES = 8 << 20
# Columns transposed at a time are a multiple of it, so that every block is whole.
_BLOCK = 32


class ArrayWriter:
    """Writes arrays to one stream; `written` is told the bytes after each piece."""

    def __init__(self, stream: BinaryIO, written: Callable[[int], None] = lambda _: None) -> None:
        self._stream = stream
        self._written = written
        self._memory = PageMemory()
        self._transpose = _transposer()

    def write(self, array: np.ndarray) -> None:
        """Write all elements of `array`; it must not change until the stream is closed."""
        if array.flags.c_contiguous or array.ndim < 2:
            self._write_flat(np.ascontiguousarray(array).reshape(-1))
            return
        rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
        if rows > _BLOCK:
            rows -= rows % _BLOCK
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            piece = self._memory.array(part.shape, part.dtype)
            if _is_transposed(part):
                self._transpose(part.T, piece)
            else:
                np.copyto(piece, part)
            self._put(piece.reshape(-1))

    def _write_flat(self, flat: np.ndarray) -> None:
        step = max(1, PIECE_BYTES // flat.dtype.itemsize)
        for start in range(0, flat.size, step):
            self._put(flat[start : start + step])

    def _put(self, piece: np.ndarray) -> None:
        data = piece.view(np.uint8)
        write_shared(self._stream, data.data)
        self._written(data.nbytes)


def _is_transposed(array: np.ndarray) -> bool:
    """Whether `array.T` is a matrix with dense rows, of items that llm-kernels transposes."""
    size = array.dtype.itemsize
    return (
        array.ndim == 2
        and size in ITEM_BYTES
        and array.strides[0] == size
        and array.strides[1] >= size * len(array)
        and array.strides[1] % size == 0
    )


def _transposer() -> Callable[[np.ndarray, np.ndarray], None]:
    """What writes the transpose of its first argument to its second."""
    try:
        extension()
    except NativeUnavailableError:
        logger.info("Without the native kernels, transposing weights is several times as slow.")
        return lambda x, out: np.copyto(out, x.T)
    # One thread transposes, while another one hashes.
    return _native


def _native(x: np.ndarray, out: np.ndarray) -> None:
    ops.transpose(x, out=out, threads=1)
