"""Streams documents into `.bin` and `.idx`; both appear whole, or neither does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from llm_cli.outputs import written_file
from llm_data.errors import IndexedDataError
from llm_data.indexed.layout import CHUNK, CODES, HEADER, MAGIC, IntArray, suffixed
from llm_data.indexed.sizes import SequenceSizes


class IndexedWriter:
    """Streams documents into `PREFIX.bin`; on a clean exit both files appear, else neither.

    Holds 4 bytes of memory a sequence. `.idx` appears last and an older one goes first, so a reader
    never sees it alone or beside other tokens.
    """

    def __init__(self, prefix: str | Path, dtype: np.dtype[Any] | type[np.generic]) -> None:
        """prefix: path without suffix. dtype: of the stored ids, see `dtype_for`."""
        self.prefix = Path(prefix)
        self.dtype = np.dtype(dtype)
        self._sizes = SequenceSizes()
        self._stack = ExitStack()
        self._bin: BinaryIO | None = None
        self._idx: BinaryIO | None = None

    def __enter__(self) -> IndexedWriter:
        if self.dtype.type not in CODES.values():
            message = f"Cannot store tokens as {self.dtype}: use one of the layout's integer types."
            raise IndexedDataError(message)
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Contexts close in reverse order: .bin is renamed into place before .idx.
            self._idx = stack.enter_context(written_file(suffixed(self.prefix, ".idx")))
            self._bin = stack.enter_context(written_file(suffixed(self.prefix, ".bin")))
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add_document(self, ids: Sequence[int] | IntArray) -> None:
        """Append one document. Raises IndexedDataError if an id does not fit the dtype."""
        array = np.asarray(ids)
        limits = np.iinfo(self.dtype)
        if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
            message = (
                f"Token id {int(array.max())} does not fit {self.dtype} (at most {limits.max}). "
                "Choose the dtype with dtype_for(tokenizer.vocab_size)."
            )
            raise IndexedDataError(message)
        self.add_raw(np.ascontiguousarray(array, dtype=self.dtype).tobytes(), [array.size])

    def add_raw(
        self,
        data: bytes,
        sizes: Sequence[int] | IntArray,
        counts: Sequence[int] | IntArray | None = None,
    ) -> None:
        """Append what is already in the file's byte form.

        sizes: tokens of each sequence; counts: sequences of each document, None for one in each.
        """
        assert self._bin is not None
        self._bin.write(data)
        self._sizes.add(sizes, counts)

    @property
    def documents(self) -> int:
        """Documents written."""
        return self._sizes.documents

    @property
    def tokens(self) -> int:
        """Tokens written."""
        return self._sizes.tokens

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._idx is None or self._bin is None:
            return
        write_index(self._idx, self.dtype, self._sizes.sizes(), self._sizes.borders())
        # Only renames can follow: a full disk leaves the old files, and a kill between the two
        # renames leaves new tokens without an index, never beside the old one.
        for stream in (self._bin, self._idx):
            stream.flush()
            os.fsync(stream.fileno())
        suffixed(self.prefix, ".idx").unlink(missing_ok=True)


def write_index(stream: BinaryIO, dtype: np.dtype[Any], sizes: IntArray, borders: IntArray) -> None:
    """Write an `.idx` of sequences of `sizes` (int32 [S]) and documents with `borders` [D + 1]."""
    count = sizes.size
    code = next(code for code, kind in CODES.items() if kind is dtype.type)
    stream.write(HEADER.pack(MAGIC, 1, code, count, borders.size))
    stream.write(sizes.astype("<i4").tobytes())
    offset = 0
    for start in range(0, count, CHUNK):
        part = sizes[start : start + CHUNK].astype(np.int64) * dtype.itemsize
        ends = offset + np.cumsum(part)
        stream.write((ends - part).astype("<i8").tobytes())
        offset = int(ends[-1])
    stream.write(borders.astype("<i8").tobytes())
