"""How many processors this process may keep busy: its affinity, and what its control group pays.

A container with a quota of two processors on a machine of 64 sees all 64; as many threads would
share two, and each loop would wait for those that have no turn.
"""

from __future__ import annotations

import os
from pathlib import Path

from llm_kernels import control_groups


def available(root: Path = Path("/")) -> int:
    """Processors of the affinity mask, at most the quota of the control group, rounded up.

    `root` is where proc and sys are mounted. The quotas of the group and of all above it count, of
    version 1 (cpu.cfs_quota_us) and version 2 (cpu.max).
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quotas = (_quota(folder) for folder in control_groups.folders("cpu", root))
    return max(1, min([count, *(quota for quota in quotas if quota is not None)]))


def _quota(folder: Path) -> int | None:
    """Processors of one group, rounded up; None without a limit."""
    fields = control_groups.read(folder / "cpu.max").split()
    if not fields:
        names = ("quota", "period")
        fields = [control_groups.read(folder / f"cpu.cfs_{name}_us") for name in names]
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):
        return None  # "max", -1, or no such file
    quota, period = map(int, fields)
    return -(-quota // period) if quota > 0 and period > 0 else None
