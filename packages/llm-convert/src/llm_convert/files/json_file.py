"""JSON objects out of files that strangers wrote: config.json, index files, headers.

Stricter than `json.loads`: a repeated key, NaN and Infinity are errors, and so is nesting deep
enough to exhaust the stack.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from llm_convert.errors import FileFormatError

# Below the largest float64, 1.8e308, so that every integer can be computed with.
_MOST_DIGITS = 300


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileFormatError: missing, not UTF-8, not JSON, or not an object.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise FileFormatError(message) from error
    return parse_json(data, path)


def parse_json(data: bytes, path: Path) -> dict[str, Any]:
    """The JSON object in `data`, which came out of `path`.

    Raises:
        FileFormatError: not UTF-8, not JSON, not an object, a repeated key, NaN or Infinity, an
            integer that is larger than any number in float64.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        message = f"{path} does not hold valid JSON: {error}. Copy or download the file again."
        raise FileFormatError(message) from error
    if not isinstance(value, dict):
        message = f"{path} must hold a JSON object, it holds a {type(value).__name__}."
        raise FileFormatError(message)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        message = f"the key {repeated!r} occurs more than once"
        raise ValueError(message)
    return value


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        message = f"an integer of {len(text)} digits, at most {_MOST_DIGITS} are read"
        raise ValueError(message)
    return int(text)
