"""Stop strings, wherever the borders of tokens lie.

Text that may be the beginning of a stop string is held back until it is clear that it is none, so
a reader never sees part of one.
"""

from __future__ import annotations

from collections.abc import Iterable


class StopMatcher:
    """Cuts a text that comes in pieces at the first of some stop strings."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Text to show now, and the stop string that was found, which ends it."""
        self._held += text
        found = [(self._held.find(stop), stop) for stop in self._stops if stop in self._held]
        if found:
            position, stop = min(found)
            shown, self._held = self._held[:position], ""
            return shown, stop
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown, None

    def finish(self) -> str:
        """What was held back when the answer ends without a stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest beginning of `stop` that ends `text`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
