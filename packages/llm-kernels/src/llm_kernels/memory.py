"""How much memory there is for this process, and how much it holds: the machine's, its groups'.

A container or a service may be given less than the machine has; it is killed when it takes more.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from llm_kernels import control_groups

_UNLIMITED = 1 << 60
"""Version 1 of control groups writes a number near 2^63 for "no limit"."""

_VERSIONS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit and usage of a group, and what memory.stat calls pages of files, in both versions."""


def total(root: Path = Path("/")) -> int | None:
    """Bytes of the machine, at most the least limit of the control groups; None if unknown.

    `root` is where proc and sys are mounted.
    """
    limits = [limit for limit, _ in _groups(root)]
    return min([*_known(_machine(root, "MemTotal", "SC_PHYS_PAGES")), *limits], default=None)


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, in no group more than is left there; None if unknown.

    Files that are only cached can be given back, so they count as free.
    """
    left = [max(0, left) for _, left in _groups(root)]
    return min([*_known(_machine(root, "MemAvailable", "SC_AVPHYS_PAGES")), *left], default=None)


def resident(root: Path = Path("/")) -> int:
    """Bytes of this process in memory now; where only the most it ever had is known, that."""
    held = _fields(root / "proc/self/status").get("VmRSS")
    if held is not None:
        return held
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _machine(root: Path, field: str, pages: str) -> int | None:
    """A figure of /proc/meminfo; where there is none, what the system says in pages."""
    stated = _fields(root / "proc/meminfo").get(field)
    if stated is not None or pages not in os.sysconf_names:
        return stated
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit of every limited group of this process, and what is left of it, in bytes."""
    for folder in control_groups.folders("memory", root):
        for limit, used, cached in _VERSIONS:
            bound = control_groups.read(folder / limit)
            if bound.isdecimal() and int(bound) < _UNLIMITED:
                taken = int(control_groups.read(folder / used) or 0)
                yield int(bound), int(bound) - taken + _cached(folder, cached)


def _cached(folder: Path, name: str) -> int:
    for line in control_groups.read(folder / "memory.stat").splitlines():
        field, _, value = line.partition(" ")
        if field == name:
            return int(value)
    return 0


def _fields(path: Path) -> dict[str, int]:
    """Bytes by name of a file of lines like "MemTotal:   2048 kB"."""
    fields = {}
    for line in control_groups.read(path).splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdecimal():
            fields[name] = int(number) * 1024
    return fields


def _known(figure: int | None) -> list[int]:
    return [] if figure is None else [figure]
