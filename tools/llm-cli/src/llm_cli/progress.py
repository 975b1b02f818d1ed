"""Progress of long work: a bar with rate and time left, or plain lines where nobody watches.

``with progress("tokenize", total=size, unit="B") as bar: bar.advance(n)``. On a terminal a bar is
drawn on standard error; elsewhere a line is written every few seconds, so that logs stay readable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

LINE_SECONDS = 5.0
"""Seconds between two plain lines."""


class Progress:
    """What has been done, at which rate, and how long the rest will take."""

    def __init__(self, label: str, total: float | None, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0.0
        self.remark = ""
        self.started = time.monotonic()
        self._skipped = 0.0

    def advance(self, amount: float = 1) -> None:
        """Count ``amount`` more units of work done in this run."""
        self.done += amount
        self._changed()

    def resume_at(self, amount: float) -> None:
        """Start at ``amount``: done by an earlier run, so it does not count for the rate."""
        self.done = self._skipped = amount
        self._changed()

    def note(self, remark: str) -> None:
        """Show a short remark, such as the current loss, beside the figures."""
        self.remark = remark
        self._changed()

    @property
    def rate(self) -> float:
        """Units a second since the start of this run."""
        return (self.done - self._skipped) / max(time.monotonic() - self.started, 1e-9)

    def describe(self) -> str:
        """One line: done, total, share, rate, time left, remark."""
        parts = [self._amount()]
        if self.rate > 0:
            parts.append(f"{scaled(self.rate, self.unit)}/s")
            if self.total and self.done < self.total:
                parts.append(f"{clock((self.total - self.done) / self.rate)} left")
        return f"{self.label}: " + ", ".join(parts + ([self.remark] if self.remark else []))

    def close(self) -> None:
        """Say the last word."""

    def _amount(self) -> str:
        if self.total is None:
            return scaled(self.done, self.unit)
        share = 100 * self.done / self.total if self.total else 100
        return f"{scaled(self.done, self.unit)} of {scaled(self.total, self.unit)} ({share:.0f} %)"

    def _changed(self) -> None:
        """Called after every change."""


class PlainProgress(Progress):
    """Lines for a log file."""

    def __init__(self, label: str, total: float | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._stream: TextIO = sys.stderr
        self._last = self.started

    def close(self) -> None:
        """Write the last line."""
        seconds = time.monotonic() - self.started
        self._stream.write(f"{self.describe()}, took {clock(seconds)}\n")
        self._stream.flush()

    def _changed(self) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self._stream.write(self.describe() + "\n")
            self._stream.flush()


class BarProgress(Progress):
    """A bar for a person at a terminal."""

    def __init__(self, label: str, total: float | None, unit: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().__init__(label, total, unit)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
        self._bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5)
        self._task = self._bar.add_task(label, total=total, line="")
        self._bar.start()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._changed()
        self._bar.stop()

    def _changed(self) -> None:
        line = self.describe().removeprefix(f"{self.label}: ")
        self._bar.update(self._task, completed=self.done, total=self.total, line=line)


@contextmanager
def progress(label: str, total: float | None = None, unit: str = "") -> Iterator[Progress]:
    """Show the progress of ``total`` units; ``None``: unknown. ``B`` scales to KB, MB, GB."""
    watched = sys.stderr.isatty()
    bar: Progress = (
        BarProgress(label, total, unit) if watched else PlainProgress(label, total, unit)
    )
    try:
        yield bar
    finally:
        bar.close()


def scaled(amount: float, unit: str) -> str:
    """``amount`` with its unit: bytes in KB, MB or GB (powers of 1000), others with commas."""
    if unit == "B":
        for name, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
            if amount >= size:
                return f"{amount / size:.1f} {name}"
        return f"{amount:.0f} B"
    digits = 0 if amount >= 100 or amount == int(amount) else 1
    return f"{amount:,.{digits}f} {unit}".rstrip()


def clock(seconds: float) -> str:
    """``75`` seconds as ``1:15``, ``3700`` as ``1:01:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
