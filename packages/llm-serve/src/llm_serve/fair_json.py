"""JSON decoded so that other threads go on meanwhile.

Python's own decoder is one call into C, during which no other thread runs: 16 MiB of JSON hold up
a server's streams for 0.3 to 1.4 seconds, from whichever thread it is called. Its version in Python
takes longer (5 s for 8 million numbers), but gives way every few milliseconds; texts are scanned in
C by both. That version has no documented name: where a Python lacks it, the one in C decodes texts
that are short enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

try:
    from json.decoder import JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
    from json.scanner import py_make_scanner  # type: ignore[attr-defined]
except ImportError:
    FAIR = False
else:
    FAIR = True

MAX_NODES = 100_000
"""Lists, objects and keys: many times what a request needs, and few enough to look through."""
MAX_CHARACTERS_AT_ONCE = 2**20
"""Most characters that hold others up, for 0.1 s, where no decoder gives way."""


def decode_fairly(text: str) -> object:
    """Return what `json.loads` would.

    Raises what that raises, UnicodeEncodeError for half a surrogate pair, and ValueError for more
    than MAX_NODES lists, objects and keys; where this Python has no decoder that gives way, also
    for more than MAX_CHARACTERS_AT_ONCE.
    """
    return _FairDecoder().decode(text) if FAIR else _decode_at_once(text)


def _decode_at_once(text: str) -> object:
    if len(text) > MAX_CHARACTERS_AT_ONCE:
        message = (
            f"it holds {len(text):,} characters, and this server's Python decodes at most "
            f"{MAX_CHARACTERS_AT_ONCE:,} without holding up others"
        )
        raise ValueError(message)
    value: object = json.loads(text)
    left, waiting = MAX_NODES, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            check_text(item)
        elif isinstance(item, list | dict):
            left -= 1 + (len(item) if isinstance(item, dict) else 0)
            _check_nodes(left)
            waiting += item
            if isinstance(item, dict):
                waiting += item.values()
    return value


def _check_nodes(left: int) -> None:
    if left < 0:
        message = f"it holds more than {MAX_NODES:,} lists, objects and keys"
        raise ValueError(message)


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
        _check_nodes(self._left)


def _checked_string(text: str, start: int, strict: bool) -> tuple[str, int]:
    found: tuple[str, int] = scanstring(text, start, strict)
    check_text(found[0])
    return found
