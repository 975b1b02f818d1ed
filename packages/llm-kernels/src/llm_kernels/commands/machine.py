"""What this machine has: processor, memory, disk, installed packages. Reads, never imports them."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = tuple(
    f"llm-toolchain-{part}"
    for part in ("cli", "kernels", "data", "convert", "infer", "serve", "train", "peft", "quant")
)
"""The toolchain's distributions, in the order in which they build on each other."""

FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Processor features that kernels of this kind can use, as /proc/cpuinfo names them."""

_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_info(text: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Model name and the features of FEATURES, from /proc/cpuinfo (or its `text`)."""
    lines = (_read("/proc/cpuinfo") if text is None else text).splitlines()
    fields = dict(part for line in reversed(lines) if (part := _field(line)))
    flags = set(fields.get("flags", "").split())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, tuple(feature for feature in FEATURES if feature in flags)


def memory(text: str | None = None) -> tuple[int, int] | None:
    """Total and available memory in bytes, from /proc/meminfo; None where it cannot be read."""
    lines = (_read("/proc/meminfo") if text is None else text).splitlines()
    fields: Mapping[str, str] = dict(part for line in lines if (part := _field(line)))
    if "MemTotal" not in fields or "MemAvailable" not in fields:
        return None
    return _kilobytes(fields["MemTotal"]), _kilobytes(fields["MemAvailable"])


def memory_limit() -> int | None:
    """Memory limit of this process's control group in bytes; None where there is none."""
    for path in _CGROUP_LIMITS:
        text = _read(path).strip()
        # Version 1 writes a number near 2^63 for "no limit".
        if text.isdecimal() and int(text) < 1 << 60:
            return int(text)
    return None


def disk(folder: Path) -> tuple[int, int]:
    """Total and free bytes of the file system that holds `folder`."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def _field(line: str) -> tuple[str, str] | None:
    name, colon, value = line.partition(":")
    return (name.strip(), value.strip()) if colon else None


def _kilobytes(text: str) -> int:
    return int(text.split()[0]) * 1024


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
