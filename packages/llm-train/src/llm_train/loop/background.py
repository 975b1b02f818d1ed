"""Writes a checkpoint while training goes on: one at a time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs one task at a time; an error of a task is raised by the next call."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def run(self, task: Callable[[], object]) -> None:
        """Start a task when the one before has ended. Raises that one's error."""
        self.wait()
        self._thread = threading.Thread(target=self._do, args=(task,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is running. Raises the error of the task that has ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _do(self, task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:
            self._error = error
