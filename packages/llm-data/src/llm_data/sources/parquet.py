"""A Parquet file as lines of JSON: one column, read a few thousand rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from llm_data.errors import RecordError

_ROWS = 1024


class ParquetLines:
    """`read(n)` gives bytes of the lines; line k is row k, counted from 1."""

    def __init__(self, file: BinaryIO, path: Path, column: str) -> None:
        """Raises RecordError when pyarrow is not installed, or the file or column is not there."""
        self._file = _open(file, path)
        self._path = path
        self._column = column
        names = self._file.schema_arrow.names
        if column not in names:
            message = (
                f"{path} has no column {column!r}; it has {', '.join(map(repr, names))}. "
                "Name the one that holds the text with --json_key."
            )
            raise RecordError(message)
        self._size = os.fstat(file.fileno()).st_size
        self._rows = max(int(self._file.metadata.num_rows), 1)
        self._seen = 0
        self._ready = bytearray()
        self._batches = self._lines()

    @property
    def consumed(self) -> int:
        """Bytes of the file that belong to the rows read so far, about."""
        return self._size * self._seen // self._rows

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end. Raises RecordError for a damaged file."""
        while len(self._ready) < size:
            more = next(self._batches, None)
            if more is None:
                break
            self._ready += more
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _lines(self) -> Iterator[bytes]:
        import pyarrow

        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=[self._column]):
                values = batch.column(0).to_pylist()
                self._seen += len(values)
                yield b"".join(map(self._line, values))
        except (pyarrow.ArrowException, OSError) as error:
            message = f"{self._path} is damaged ({error}). Copy or write it again."
            raise RecordError(message) from error

    def _line(self, value: Any) -> bytes:
        # What is no text stays none, and is counted as such by who reads the lines.
        content = {self._column: value if isinstance(value, str) else None}
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _open(file: BinaryIO, path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        message = (
            f"{path} is a Parquet file and pyarrow is not installed. "
            "Install it with: pip install pyarrow"
        )
        raise RecordError(message) from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        message = f"{path} is no readable Parquet file ({error}). Copy or write it again."
        raise RecordError(message) from error
