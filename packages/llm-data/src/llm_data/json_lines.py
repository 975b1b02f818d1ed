"""Random access to the lines of text files, without keeping the lines in memory.

`JsonLines(paths)[i]` parses line i of all files taken together; blank lines do not count. Costs
8 bytes of memory a line. Knows nothing of what the objects mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_data.errors import RecordError

_CHUNK = 1 << 24


class JsonLines:
    """JSON objects, one a line, of one or several files. Raises RecordError for a JSON array."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        """Scans the files once for the beginnings of lines."""
        self.paths = [Path(path) for path in paths]
        self._open()

    def __reduce__(self) -> tuple[type[JsonLines], tuple[list[Path]]]:
        return JsonLines, (self.paths,)

    def _open(self) -> None:
        self._files = [_map(path) for path in self.paths]
        spans = [_line_starts(file) for file in self._files]
        for path, file, (starts, _) in zip(self.paths, self._files, spans, strict=True):
            if starts.size and bytes(file[starts[0] : starts[0] + 64]).lstrip()[:1] == b"[":
                message = f"{path} is one JSON array. Write one object a line (JSON Lines)."
                raise RecordError(message)
        self._starts = [starts for starts, _ in spans]
        self._lines = [lines for _, lines in spans]
        self._ends = np.cumsum([starts.size for starts in self._starts])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def _find(self, index: int) -> tuple[int, int]:
        file = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[file - 1]) if file else 0
        return file, index - before

    def place(self, index: int) -> str:
        """`file:line` of item `index`, for messages; lines count from 1."""
        file, item = self._find(index)
        return f"{self.paths[file]}:{int(self._lines[file][item])}"

    def raw(self, index: int) -> bytes:
        """The bytes of item `index`, without the line end."""
        file, item = self._find(index)
        starts, data = self._starts[file], self._files[file]
        begin = int(starts[item])
        end = int(starts[item + 1]) if item + 1 < starts.size else data.size
        return bytes(data[begin:end]).strip()

    def object(self, index: int) -> dict[str, Any]:
        """The object of item `index`. Raises RecordError with the reason, without the place."""
        return parse_object(self.raw(index))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The object of item `index`. Raises RecordError naming file and line."""
        if not 0 <= index < len(self):
            message = f"Line {index} does not exist: there are {len(self)}."
            raise IndexError(message)
        try:
            return self.object(index)
        except RecordError as error:
            message = f"{self.place(index)}: {error}."
            raise RecordError(message) from error


def parse_object(line: bytes) -> dict[str, Any]:
    """The JSON object that `line` is. Raises RecordError with the cause, without the place."""
    try:
        value = json.loads(line)
    except UnicodeDecodeError as error:
        message = "invalid UTF-8"
        raise RecordError(message) from error
    except ValueError as error:
        message = "invalid JSON"
        raise RecordError(message) from error
    if not isinstance(value, dict):
        message = f"a JSON {type(value).__name__} where an object is needed"
        raise RecordError(message)
    return value


def _map(path: Path) -> NDArray[np.uint8]:
    if path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r")


def _line_starts(data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each non-blank line begins, and its number counted from 1."""
    ends = [
        np.flatnonzero(data[start : start + _CHUNK] == ord("\n")) + start
        for start in range(0, data.size, _CHUNK)
    ]
    starts = np.concatenate([np.zeros(1, np.int64), *(part + 1 for part in ends)])
    starts = starts[starts < data.size]
    stops = np.append(starts[1:], data.size)
    # Looking closer only at lines that begin with a blank keeps the scan vectorised.
    maybe = np.flatnonzero(np.isin(data[starts], np.frombuffer(b" \t\r\n\v\f", np.uint8)))
    blank = [i for i in maybe if _is_blank(data, starts[i], stops[i])]
    keep = np.ones(starts.size, dtype=bool)
    keep[blank] = False
    return starts[keep], np.flatnonzero(keep) + 1


def _is_blank(data: NDArray[np.uint8], begin: np.int64, end: np.int64) -> bool:
    return not bytes(data[begin:end]).strip()
