"""Cuts files into blocks of whole documents, so that many workers can share the work.

A block is about `size` bytes; where it ends is a `Position`, from which reading can go on in
another process on another day and give the same blocks. Memory: one block, or one document if
that is longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_data.errors import RecordError
from llm_data.sources.streams import InputStream

BLOCK_BYTES = 4 << 20
LONGEST_DOCUMENT = 1 << 30
"""Bytes of one document beyond which the cutting is surely not the one that was meant."""
_READ = 1 << 20
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")


@dataclass(frozen=True)
class Position:
    """A place between two documents: file (by number), byte in it (decompressed), line."""

    file: int = 0
    offset: int = 0
    line: int = 1


@dataclass(frozen=True)
class Piece:
    """Whole documents of one file, in a row."""

    path: str
    first_line: int
    data: bytes


@dataclass
class Block:
    """Work for one worker."""

    number: int
    pieces: list[Piece] = field(default_factory=list)
    end: Position = field(default_factory=Position)
    consumed: int = 0
    """Bytes of the files themselves that were read for it, for progress."""

    @property
    def size(self) -> int:
        """Bytes of text in the block."""
        return sum(len(piece.data) for piece in self.pieces)


def read_blocks(
    paths: Sequence[Path],
    unit: str,
    *,
    size: int = BLOCK_BYTES,
    number: int = 0,
    start: Position,
    column: str = "text",
) -> Iterator[Block]:
    """Blocks from `start` on, the first numbered `number`.

    unit: what a document is: "line", "paragraph" (up to a blank line) or "file".
    column: the one that is read of Parquet files.
    Raises RecordError for damaged compression or a document above 1 GiB.
    """
    block = Block(number)
    for index in range(start.file, len(paths)):
        position = start if index == start.file else Position(index)
        with InputStream(paths[index], column) as stream:
            stream.skip(position.offset)
            seen = stream.consumed
            for data in _whole_documents(stream, unit, size):
                piece = Piece(str(paths[index]), position.line, data)
                position = Position(
                    index, position.offset + len(data), position.line + data.count(b"\n")
                )
                block.pieces.append(piece)
                block.end = position
                block.consumed += stream.consumed - seen
                seen = stream.consumed
                if block.size >= size:
                    yield block
                    block = Block(block.number + 1)
        block.end = Position(index + 1)
    if block.pieces:
        yield block


def _whole_documents(stream: InputStream, unit: str, size: int) -> Iterator[bytes]:
    """Stretches of about `size` bytes that end where a document ends."""
    rest = bytearray()
    wanted = size
    while True:
        while len(rest) < wanted:
            data = stream.read(min(_READ, max(wanted - len(rest), 1)))
            if not data:
                if rest:
                    yield bytes(rest)
                return
            rest += data
        cut = _last_border(rest, unit)
        if cut:
            yield bytes(rest[:cut])
            del rest[:cut]
            wanted = size
        else:
            wanted = len(rest) + size
        if len(rest) > LONGEST_DOCUMENT:
            message = (
                f"{stream.path} holds a document above 1 GiB. If it is many documents, say how "
                "they are divided with --text_document line or paragraph."
            )
            raise RecordError(message)


def _last_border(data: bytearray, unit: str) -> int:
    """Bytes up to the last end of a document in `data`, 0 if there is none."""
    if unit == "line":
        return data.rfind(b"\n") + 1
    if unit == "paragraph":
        return max((match.end() for match in _BLANK_LINE.finditer(data)), default=0)
    return 0
