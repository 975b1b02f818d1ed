"""Opens plain, `.zst`, `.gz` and Parquet files as byte streams that know how far they have read.

A compressed file that ends too early is an error, never a shorter file.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from llm_data.errors import RecordError
from llm_data.sources.parquet import ParquetLines

_READ = 1 << 20


class InputStream:
    """`read(n)` gives decompressed bytes; `consumed` counts bytes read from the file itself."""

    def __init__(self, path: Path, column: str = "text") -> None:
        """column: of a Parquet file, which reads as one JSON object of it a line.

        Raises RecordError when zstandard or pyarrow is needed and not installed.
        """
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self._reader: Any = self._file
        if path.suffix == ".gz":
            self._reader = gzip.GzipFile(fileobj=self._file)
        elif path.suffix == ".zst":
            self._reader = _ZstdReader(self._file, path)
        elif path.suffix == ".parquet":
            self._reader = ParquetLines(self._file, path, column)

    @property
    def consumed(self) -> int:
        """Bytes of the file read so far, for progress."""
        if isinstance(self._reader, ParquetLines):
            return self._reader.consumed
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end. Raises RecordError for damaged compression."""
        try:
            return bytes(self._reader.read(size))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{self.path} is damaged or cut off ({error}). Copy or compress it again."
            raise RecordError(message) from error

    def skip(self, size: int) -> None:
        """Go on `size` bytes further."""
        if self._reader is self._file:
            self._file.seek(size, 1)
            return
        while size > 0:
            size -= len(self.read(min(size, _READ))) or size

    def __enter__(self) -> InputStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


class _ZstdReader:
    """Frames one after the other. The library's own reader takes a cut-off frame for the end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            message = (
                f"{path} is compressed and zstandard is not installed. "
                "Install it with: pip install zstandard"
            )
            raise RecordError(message) from error
        self._library = zstandard
        self._file = file
        self._path = path
        self._frame: Any = None
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and self._fill():
            pass
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _fill(self) -> bool:
        packed = self._file.read(_READ // 4)
        if not packed:
            if self._frame is not None:
                message = "the last frame does not end"
                raise EOFError(message)
            return False
        try:
            while packed:
                if self._frame is None:
                    self._frame = self._library.ZstdDecompressor().decompressobj()
                self._ready += self._frame.decompress(packed)
                packed = self._frame.unused_data if self._frame.eof else b""
                if self._frame.eof:
                    self._frame = None
        except self._library.ZstdError as error:
            message = f"{self._path} is damaged ({error}). Copy or compress it again."
            raise RecordError(message) from error
        return True
