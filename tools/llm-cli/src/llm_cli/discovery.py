"""Which commands the installed packages announce, read without ``importlib.metadata``.

A command is an entry point of the group ``llm_toolchain.commands``. Entry points stand in small
files beside the packages; reading those takes a fraction of what importing ``importlib.metadata``
takes, which needs email, sockets and zip files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

ENTRY_POINTS = "llm_toolchain.commands"
"""Group of the entry points by which packages announce their commands."""


@dataclass(frozen=True)
class Announcement:
    """The command ``name`` is what ``attribute`` of ``module`` describes."""

    name: str
    module: str
    attribute: str

    @property
    def value(self) -> str:
        """``module:attribute``, as the package wrote it."""
        return f"{self.module}:{self.attribute}"

    def load(self) -> Any:
        """Import the module; the description."""
        return getattr(import_module(self.module), self.attribute)


def announced() -> list[Announcement]:
    """The announced commands; of a distribution that is found twice, the first along the path."""
    if _packed():
        return list(_by_metadata())
    seen: set[str] = set()
    found: list[Announcement] = []
    for folder in sys.path:
        for name, file in _distributions(folder or "."):
            if name not in seen:
                seen.add(name)
                found += _read(file)
    return found


def distributions() -> set[str]:
    """Names of the distributions along the path, in lower case and with hyphens."""
    if _packed():
        from importlib import metadata

        names = (dist.metadata["Name"] or "" for dist in metadata.distributions())
    else:
        names = (name for folder in sys.path for name, _ in _distributions(folder or "."))
    return {name.lower().replace("_", "-") for name in names}


def _packed() -> bool:
    """Whether packages are in an archive, in which only ``importlib.metadata`` finds them."""
    archives = (path for path in sys.path if path.endswith((".zip", ".pex", ".pyz")))
    return any(os.path.isfile(path) for path in archives)  # noqa: PTH113


def _distributions(folder: str) -> Iterator[tuple[str, str]]:
    """Name of every distribution in a folder of the path, and the file of its entry points."""
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208 - importing pathlib takes longer
    except OSError:
        return
    for entry in entries:
        if entry.endswith(".dist-info"):
            yield entry.partition("-")[0].lower(), f"{folder}/{entry}/entry_points.txt"


def _read(file: str) -> Iterator[Announcement]:
    try:
        with open(file, encoding="utf-8") as stream:  # noqa: PTH123
            lines = stream.read().splitlines()
    except OSError:
        return
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == ENTRY_POINTS and "=" in line and not line.startswith(("#", ";")):
            name, value = (part.strip() for part in line.split("=", 1))
            yield _announcement(name, value)


def _by_metadata() -> Iterator[Announcement]:
    """The same where packages lie in archives."""
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        yield _announcement(point.name, point.value)


def _announcement(name: str, value: str) -> Announcement:
    """Behind the value may stand extras in brackets; they say nothing about where it is."""
    module, _, attribute = value.partition("[")[0].strip().partition(":")
    return Announcement(name, module.strip(), attribute.strip())
