"""Runs of one character that are too long to be text shrink to one character."""

from __future__ import annotations

import re

_SAMPLES = 4


class RepeatedRuns:
    """`runs(text)`: the text with every run of more than `limit` equal characters as one.

    Newlines do not count. The exact search is slow. It looks only at texts in which some samples
    in a row are equal, with all that is between them; they are so dense that no long run has less.
    """

    def __init__(self, limit: int) -> None:
        """limit: 0 keeps every text as it is."""
        self.limit = limit
        self._runs = re.compile(rf"(.)\1{{{limit},}}")
        self._step = max((limit + 1) // _SAMPLES, 1)
        self._hits = min((limit + 1) // self._step, _SAMPLES)
        self._hint = re.compile(rf"(.)\1{{{max(self._hits - 1, 0)},}}")

    def __call__(self, text: str) -> str:
        """`text`, perhaps shorter."""
        return self._runs.sub(r"\1", text) if self.limit and self._may_have(text) else text

    def _may_have(self, text: str) -> bool:
        width = (self._hits - 1) * self._step + 1
        for match in self._hint.finditer(text[:: self._step]):
            whole = match.group(1) * width
            starts = range(match.start(), match.end() - self._hits + 1)
            if any(text.startswith(whole, start * self._step) for start in starts):
                return True
        return False
