"""The folder `PREFIX.parts/`: what is done of a run, so that a killed run can go on.

`plan.json` says which run the parts belong to. Part n is `0000000n.bin` (token ids, then the
int32 sizes of its sequences, then how many of those each document has) and `0000000n.json`
(counts, and where in the input it ends), which is written last: a part exists when its `.json`
does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from llm_cli.outputs import written_file
from llm_data.errors import IndexedDataError, RecordError
from llm_data.indexed import IndexedWriter, NpyWriter
from llm_data.sources import Position
from llm_data.tokenize.assembly import Tokens

logger = logging.getLogger(__name__)
_COPY = 1 << 24


@dataclass(frozen=True)
class Part:
    """What a finished part says of itself."""

    number: int
    documents: int
    tokens: int
    text_bytes: int
    end: Position
    """Where in the input the next part begins."""
    consumed: int
    """Bytes of the input files read for it."""
    sequences: int = 0
    """Sentences, or documents where those are not divided."""
    shortened: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def file_size(self, itemsize: int) -> int:
        """Bytes that its `.bin` must have."""
        return self.tokens * itemsize + (self.sequences + self.documents) * 4


class Parts:
    """The parts of one output."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self.folder = folder
        self.dtype = dtype

    @contextlib.contextmanager
    def opened(self, plan: Mapping[str, Any], *, overwrite: bool) -> Iterator[None]:
        """Hold the folder for a run of `plan`.

        Raises IndexedDataError when another run holds it, or (without `overwrite`) when it has
        unfinished work of another plan. An error inside leaves the folder only where there is a
        finished part to go on from.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as lock:
            self._lock(lock)
            known, text = self._plan(), _plan_text(plan)
            if known is not None and known != text:
                self._refuse_other_plan(json.loads(known), plan, overwrite=overwrite)
            with self._kept_for_going_on():
                if known != text:
                    for path in self.folder.iterdir():
                        if path.name != "lock":
                            path.unlink()
                    with written_file(self.folder / "plan.json") as stream:
                        stream.write(text.encode())
                for path in self.folder.glob(".*.tmp"):
                    path.unlink(missing_ok=True)
                yield

    @contextlib.contextmanager
    def _kept_for_going_on(self) -> Iterator[None]:
        try:
            yield
        except RecordError:
            # Only other input can mend this, and a run over other input takes none of these parts.
            self.remove()
            raise
        except BaseException:
            count = len(self.all_finished())
            if count:
                logger.warning(
                    "What is done (parts: %d) is kept in %s: run the same command again to go on.",
                    count,
                    self.folder,
                )
            else:
                self.remove()
            raise

    def are_of(self, plan: Mapping[str, Any]) -> bool:
        """Whether the folder holds work of this plan."""
        return self._plan() == _plan_text(plan)

    def _lock(self, lock: BinaryIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"Another run is writing {self.folder}. Wait for it or stop it first."
            raise IndexedDataError(message) from error

    def _plan(self) -> str | None:
        path = self.folder / "plan.json"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def _refuse_other_plan(
        self, known: Mapping[str, Any], plan: Mapping[str, Any], *, overwrite: bool
    ) -> None:
        if overwrite:
            return
        differ = ", ".join(sorted(key for key in plan if known.get(key) != plan[key]))
        message = (
            f"{self.folder} holds unfinished work of a run that differs in: {differ}. Run it as "
            "before to go on, add --overwrite to start anew, or choose another --output_prefix."
        )
        raise IndexedDataError(message)

    def path(self, number: int) -> Path:
        """Token file of a part."""
        return self.folder / f"{number:08d}.bin"

    def finished(self, number: int) -> Part | None:
        """Part `number` if it is whole."""
        path = self.path(number)
        try:
            content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            part = Part(**{**content, "end": Position(**content["end"])})
            whole = path.stat().st_size == part.file_size(self.dtype.itemsize)
        except FileNotFoundError:
            return None
        return part if whole else None

    def all_finished(self) -> dict[int, Part]:
        """Every part that is whole."""
        numbers = sorted(int(path.stem) for path in self.folder.glob("[0-9]*.json"))
        found = ((number, self.finished(number)) for number in numbers)
        return {number: part for number, part in found if part is not None}

    def write(self, part: Part, tokens: Sequence[Tokens]) -> None:
        """Put a part on disk."""
        with written_file(self.path(part.number)) as stream:
            for name in ("ids", "sizes", "counts"):
                for batch in tokens:
                    stream.write(getattr(batch, name).tobytes())
        with written_file(self.path(part.number).with_suffix(".json")) as stream:
            stream.write(json.dumps(asdict(part)).encode())

    def join(self, parts: list[Part], writer: IndexedWriter | NpyWriter) -> Iterator[int]:
        """Append all parts to `writer`, in order; yields bytes copied, for progress."""
        for part in parts:
            with self.path(part.number).open("rb") as stream:
                left = part.tokens * self.dtype.itemsize
                while left:
                    data = stream.read(min(left, _COPY))
                    left -= len(data)
                    writer.add_raw(data, [])
                    yield len(data)
                numbers = np.frombuffer(stream.read(), dtype="<i4")
                writer.add_raw(b"", numbers[: part.sequences], numbers[part.sequences :])

    def remove(self) -> None:
        """Delete the folder: the output is whole."""
        # The plan goes last: by it the same command, after a kill in here, knows its own output.
        for path in self.folder.iterdir():
            if path.name not in ("plan.json", "lock"):
                path.unlink()
        (self.folder / "plan.json").unlink()
        shutil.rmtree(self.folder)


def _plan_text(plan: Mapping[str, Any]) -> str:
    return json.dumps(plan, indent=1, sort_keys=True)
