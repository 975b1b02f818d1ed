"""What this machine has: processor, disk, installed packages. Reads, never imports them."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path

from llm_kernels import control_groups

PACKAGES = tuple(
    f"llm-toolchain-{part}"
    for part in ("cli", "kernels", "data", "convert", "infer", "serve", "train", "peft", "quant")
)
"""The toolchain's distributions, in the order in which they build on each other."""

FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Processor features that kernels of this kind can use, as /proc/cpuinfo names them."""


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_info(text: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Model name and the features of FEATURES, from /proc/cpuinfo (or its `text`)."""
    lines = (control_groups.read(Path("/proc/cpuinfo")) if text is None else text).splitlines()
    fields = dict(part for line in reversed(lines) if (part := _field(line)))
    flags = set(fields.get("flags", "").split())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, tuple(feature for feature in FEATURES if feature in flags)


def disk(folder: Path) -> tuple[int, int]:
    """Total and free bytes of the file system that holds `folder`."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def _field(line: str) -> tuple[str, str] | None:
    name, colon, value = line.partition(":")
    return (name.strip(), value.strip()) if colon else None
