"""JSON decoded so that other threads go on meanwhile.

Python's own decoder is one call into C, during which no other thread runs: 16 MiB of JSON hold up
a server's streams for 0.3 to 1.4 seconds, from whichever thread it is called. Its version in Python
takes longer (5 s for 8 million numbers), but gives way every few milliseconds; texts are scanned in
C by both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.decoder import JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

MAX_NODES = 100_000
"""Lists, objects and keys: many times what a request needs, and few enough to look through."""


def decode_fairly(text: str) -> object:
    """Return what `json.loads` would.

    Raises what that raises, UnicodeEncodeError for half a surrogate pair, and ValueError for more
    than MAX_NODES lists, objects and keys.
    """
    return _FairDecoder().decode(text)


def check_text(text: str) -> None:
    """Raise UnicodeEncodeError for half a surrogate pair, which is no text."""
    if not text.isascii():
        text.encode()


class _FairDecoder(json.JSONDecoder):
    """Used once: it counts what it finds."""

    def __init__(self) -> None:
        super().__init__()
        self._left = MAX_NODES
        self.parse_array = self._counted(JSONArray)
        self.parse_object = self._counted(JSONObject)
        self.parse_string = _checked_string
        self.scan_once = py_make_scanner(self)

    def _counted(self, parse: Callable[..., tuple[Any, int]]) -> Callable[..., tuple[Any, int]]:
        def counted(*arguments: Any) -> tuple[Any, int]:
            self._count(1)
            value, end = parse(*arguments)
            if isinstance(value, dict):
                self._count(len(value))
                for key in value:
                    check_text(key)
            return value, end

        return counted

    def _count(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            message = f"it holds more than {MAX_NODES:,} lists, objects and keys"
            raise ValueError(message)


def _checked_string(text: str, start: int, strict: bool) -> tuple[str, int]:
    found: tuple[str, int] = scanstring(text, start, strict)
    check_text(found[0])
    return found
