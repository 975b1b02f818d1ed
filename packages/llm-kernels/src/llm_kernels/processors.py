"""How many processors this process may keep busy: its affinity, and what its control group pays.

A container with a quota of two processors on a machine of 64 sees all 64; as many threads would
share two, and each loop would wait for those that have no turn.
"""

from __future__ import annotations

import os
from pathlib import Path


def available(root: Path = Path("/")) -> int:
    """Processors of the affinity mask, at most the quota of the control group, rounded up.

    `root` is where proc and sys are mounted. The quotas of the group and of all above it count, of
    version 1 (cpu.cfs_quota_us) and version 2 (cpu.max).
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min([count, *_quotas(root)]))


def _quotas(root: Path) -> list[int]:
    """Whole processors of every quota that binds this process."""
    quotas = []
    for folder, group in _groups(root):
        inner = [part for part in group.split("/") if part not in ("", "..")]
        for depth in range(len(inner) + 1):
            quota = _quota(folder.joinpath(*inner[:depth]))
            if quota is not None:
                quotas.append(quota)
    return quotas


def _groups(root: Path) -> list[tuple[Path, str]]:
    """Mounted hierarchies with a processor controller, and this process's group in each."""
    mounted = root / "sys/fs/cgroup"
    groups = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, group = named.partition(":")
        if not controllers:
            groups.append((mounted, group))
        elif "cpu" in controllers.split(","):
            groups.extend((mounted / name, group) for name in {controllers, "cpu"})
    return groups


def _quota(folder: Path) -> int | None:
    """Processors of one group, rounded up; None without a limit."""
    fields = _read(folder / "cpu.max").split()
    if not fields:
        fields = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):
        return None  # "max", -1, or no such file
    quota, period = map(int, fields)
    return -(-quota // period) if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
