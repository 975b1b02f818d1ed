"""Answers of a run over a data file, kept as they come, so that a killed run can go on.

Beside the output file lies `<output>.partial`: first a line that says which run it is, then one
JSON line an answer, in the order in which they were ready. A line that a kill cut in two is
dropped. When every answer is there, the output appears whole, in the order of the data file, and
the journal goes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from llm_cli.outputs import written_file
from llm_infer.errors import DataFileError

logger = logging.getLogger(__name__)


def journal_of(output_file: Path) -> Path:
    """Where the journal of an output file lies."""
    return output_file.with_name(output_file.name + ".partial")


class Journal:
    """The answers to one data file that are ready; `run` tells this run from others.

    `outputs` maps the number of a line to its answer. Raises DataFileError when the journal of
    another run lies there, or another process writes it.
    """

    def __init__(self, output_file: Path, run: Mapping[str, Any]) -> None:
        self.output_file = output_file
        self.path = journal_of(output_file)
        self.outputs: dict[int, str] = {}
        output_file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._locked()
        try:
            self._resume({"run": dict(run)})
        except BaseException:
            self._stream.close()
            raise
        if self.outputs:
            logger.info("%s holds %d answers; going on from there", self.path, len(self.outputs))

    def write(self, index: int, output: str) -> None:
        """Keep the answer to line `index`; it survives whatever happens to this process."""
        self.outputs[index] = output
        self._append({"index": index, "output": output})

    def finish(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the output file from all `records`, in order, and remove the journal."""
        with written_file(self.output_file) as stream:
            for index, record in enumerate(records):
                stream.write(_line({**record, "output": self.outputs[index]}))
        self.close()
        self.path.unlink()

    def close(self) -> None:
        """Close the journal; it stays until `finish`."""
        self._stream.close()

    def _locked(self) -> BinaryIO:
        """The file at `path`, ours alone."""
        while True:
            stream = self.path.open("ab")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                stream.close()
                message = (
                    f"Another process is writing {self.path}. Wait for it, or choose another "
                    "--output_file."
                )
                raise DataFileError(message) from error
            # Whoever held the lock may have finished, and removed the file, since it was opened.
            if self.path.exists() and os.path.samestat(os.fstat(stream.fileno()), self.path.stat()):
                return stream
            stream.close()

    def _resume(self, header: Mapping[str, Any]) -> None:
        whole = self._read(header)
        self._stream.truncate(whole)
        if not whole:
            self._append(header)

    def _append(self, content: Mapping[str, Any]) -> None:
        self._stream.write(_line(content))
        self._stream.flush()

    def _read(self, header: Mapping[str, Any]) -> int:
        """Take the answers that are there; the number of bytes up to the last whole line."""
        whole = 0
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream):
                if not line.endswith(b"\n"):
                    break
                content = self._parse(line, first=number == 0)
                if number == 0:
                    self._compare(content["run"], header["run"])
                else:
                    self.outputs[content["index"]] = content["output"]
                whole += len(line)
        return whole

    def _parse(self, line: bytes, *, first: bool) -> dict[str, Any]:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        kinds: dict[str, type] = {"run": dict} if first else {"index": int, "output": str}
        if not isinstance(content, dict) or not all(
            isinstance(content.get(name), kind) for name, kind in kinds.items()
        ):
            message = (
                f"{self.path} is no journal of this command. Remove it or rename --output_file."
            )
            raise DataFileError(message)
        return content

    def _compare(self, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        changed = [name for name in now if earlier.get(name) != json.loads(_line(now))[name]]
        if changed:
            message = (
                f"{self.path} holds answers of an unfinished run with another {', '.join(changed)}."
                " Repeat that run, or remove the file, or choose another --output_file."
            )
            raise DataFileError(message)


def _line(content: Mapping[str, Any]) -> bytes:
    # A lone surrogate is no UTF-8, but backslash-escaped it is JSON.
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
