"""Streams documents into the older `_ids.npy` and `_idx.npz`; both appear whole, or neither."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from llm_cli.outputs import written_file
from llm_data.indexed.layout import IntArray, suffixed
from llm_data.indexed.sizes import SequenceSizes

_HEADER = 128
"""Bytes before the ids; the header is written when their number is known."""


class NpyWriter:
    """Like `IndexedWriter`, for readers that know only the older layout."""

    def __init__(self, prefix: str | Path, dtype: np.dtype[Any] | type[np.generic]) -> None:
        """prefix: path without suffix. dtype: of the stored ids, see `dtype_for`."""
        self.prefix = Path(prefix)
        self.dtype = np.dtype(dtype)
        self._sizes = SequenceSizes()
        self._stack = ExitStack()
        self._ids: BinaryIO | None = None
        self._idx: BinaryIO | None = None

    def __enter__(self) -> NpyWriter:
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Contexts close in reverse order: the ids are renamed into place before the index.
            self._idx = stack.enter_context(written_file(suffixed(self.prefix, "_idx.npz")))
            self._ids = stack.enter_context(written_file(suffixed(self.prefix, "_ids.npy")))
            self._ids.write(bytes(_HEADER))
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

    def add_raw(
        self,
        data: bytes,
        sizes: Sequence[int] | IntArray,
        counts: Sequence[int] | IntArray | None = None,
    ) -> None:
        """Append what is already in the file's byte form (see `IndexedWriter.add_raw`)."""
        assert self._ids is not None
        self._ids.write(data)
        self._sizes.add(sizes, counts)

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._ids is None or self._idx is None:
            return
        self._ids.seek(0)
        self._ids.write(_header(self.dtype, self._sizes.tokens))
        np.savez(self._idx, lens=self._sizes.sizes(), docs=self._sizes.borders())
        for stream in (self._ids, self._idx):
            stream.flush()
            os.fsync(stream.fileno())
        suffixed(self.prefix, "_idx.npz").unlink(missing_ok=True)


def _header(dtype: np.dtype[Any], tokens: int) -> bytes:
    """NumPy's header (version 1) of a row of `tokens` ids, filled to a fixed length."""
    text = f"{{'descr': '{dtype.newbyteorder('<').str}', 'fortran_order': False, "
    text += f"'shape': ({tokens},), }}"
    body = text.ljust(_HEADER - 11).encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body
