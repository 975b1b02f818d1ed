"""Options that name several paths: NAME=PATH each, or one path without a name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llm_infer.errors import UnsupportedError

UNNAMED = "default"
"""The name of what was given without one."""


def named_paths(option: str, values: Iterable[str]) -> dict[str, str]:
    """Path by name. Raises UnsupportedError for a path that is missing, and for equal names."""
    found: dict[str, str] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not separator or Path(value).exists():
            name, path = UNNAMED, value
        if not name or not path or not Path(path).exists():
            message = (
                f"--{option} {value}: {path or 'nothing'} does not exist. Give PATH or NAME=PATH."
            )
            raise UnsupportedError(message)
        if name in found:
            message = (
                f"--{option} names {found[name]} and {path} both {name!r}; name each: NAME=PATH."
            )
            raise UnsupportedError(message)
        found[name] = path
    return found


def chosen(option: str, paths: dict[str, str], asked: object) -> str | None:
    """Which of `paths` a request uses: the one it names, or the only one there is.

    Raises UnsupportedError for a name that is not there, and for none where there are several.
    """
    if asked is not None:
        if not isinstance(asked, str) or asked not in paths:
            known = f"--{option} names {', '.join(paths)}" if paths else f"no --{option} was given"
            message = f"there is no {asked!r}: {known}"
            raise UnsupportedError(message)
        return asked
    if len(paths) > 1 and UNNAMED not in paths:
        message = f"--{option} names several ({', '.join(paths)}), and none was chosen"
        raise UnsupportedError(message)
    return UNNAMED if UNNAMED in paths else next(iter(paths), None)
