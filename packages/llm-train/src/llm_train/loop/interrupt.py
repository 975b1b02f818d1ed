"""Ctrl-C (or a SIGTERM, as batch systems send): a checkpoint is written, then the run stops.

with Interrupt(parallel) as interrupt:
    ...
    if interrupt.wanted(): ...      # on every process alike, once a step
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any, Self

from llm_train.parallel.collectives import total
from llm_train.parallel.groups import Parallel

logger = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Notes the first signal; a second one raises KeyboardInterrupt as usual."""

    def __init__(self, parallel: Parallel | None = None) -> None:
        self._parallel = parallel
        self._came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen, where this is the main thread (others cannot)."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Put back what was there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wanted(self) -> bool:
        """Whether any process was asked to stop; all processes ask at the same step."""
        if self._parallel is None:
            return self._came
        parallel = self._parallel
        groups = (parallel.tensor, parallel.sharding, parallel.pipeline, parallel.data)
        return total(float(self._came), *groups) > 0

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True
        logger.warning(
            "%s: stopping after this step, with a checkpoint. Once more: stopping at once.",
            signal.Signals(number).name,
        )
