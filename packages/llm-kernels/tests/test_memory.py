"""Memory of machines that are written down as files, and of this process."""

from __future__ import annotations

import mmap
import os
import resource
import sys
from pathlib import Path

import pytest

from llm_kernels import memory

KB = 1024


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="ascii")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 9000 KB, of which 5000 are available."""
    write(tmp_path, "proc/meminfo", "MemTotal:  9000 kB\nMemFree: 1 kB\nMemAvailable:  5000 kB\n")
    return tmp_path


def group(root: Path, folder: str, limit: str, used: int, cached: int) -> None:
    write(root, f"sys/fs/cgroup/{folder}/memory.max", f"{limit}\n")
    write(root, f"sys/fs/cgroup/{folder}/memory.current", f"{used}\n")
    statistics = f"anon 1\ninactive_file {cached}\nactive_file 7\n"
    write(root, f"sys/fs/cgroup/{folder}/memory.stat", statistics)


def test_this_machine() -> None:
    total, available = memory.total(), memory.available()
    assert total is not None
    assert available is not None
    assert total >= available > 10**6


def test_without_a_group_it_is_the_machine(root: Path) -> None:
    assert (memory.total(root), memory.available(root)) == (9000 * KB, 5000 * KB)
    write(root, "proc/self/cgroup", "0::/\n")
    group(root, "", "max", 10**6, 0)
    assert (memory.total(root), memory.available(root)) == (9000 * KB, 5000 * KB)


def test_the_limit_of_a_service_counts(root: Path) -> None:
    """systemd's MemoryMax stands in the group of the service, not at the top."""
    write(root, "proc/self/cgroup", "0::/system.slice/chat.service\n")
    group(root, "system.slice/chat.service", "3000000", 2_500_000, 1_200_000)
    assert memory.total(root) == 3_000_000
    assert memory.available(root) == 3_000_000 - 2_500_000 + 1_200_000


def test_the_group_with_least_left_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/pod/inner\n")
    group(root, "pod", "4000000", 3_900_000, 0)
    group(root, "pod/inner", "2000000", 1_000_000, 0)
    assert (memory.total(root), memory.available(root)) == (2_000_000, 100_000)
    group(root, "pod", "4000000", 4_100_000, 0)
    assert memory.available(root) == 0


def test_the_first_version_of_control_groups(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:cpu:/\n4:memory:/box\n")
    inner = "sys/fs/cgroup/memory/box/memory"
    write(root, f"{inner}.limit_in_bytes", "3000000\n")
    write(root, f"{inner}.usage_in_bytes", "2500000\n")
    write(root, f"{inner}.stat", "inactive_file 1\ntotal_inactive_file 400000\n")
    assert (memory.total(root), memory.available(root)) == (3_000_000, 900_000)
    write(root, f"{inner}.limit_in_bytes", f"{(1 << 63) - 4096}\n")
    assert (memory.total(root), memory.available(root)) == (9000 * KB, 5000 * KB)


def test_a_system_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = {"SC_PHYS_PAGES": 90, "SC_AVPHYS_PAGES": 50, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", figures.__getitem__)
    assert (memory.total(tmp_path), memory.available(tmp_path)) == (90 * 4096, 50 * 4096)
    monkeypatch.setattr(os, "sysconf_names", {"SC_PHYS_PAGES": 1})
    assert (memory.total(tmp_path), memory.available(tmp_path)) == (90 * 4096, None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the peak is known")
def test_resident_memory_follows_what_is_taken_and_given_back() -> None:
    before = memory.resident()
    with mmap.mmap(-1, 10**8) as taken:
        taken.write(bytes(10**8))
        held = memory.resident()
    assert held - before > 9 * 10**7
    assert held - memory.resident() > 9 * 10**7


def test_resident_memory_without_proc_is_the_peak(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", "linux")
    assert memory.resident(tmp_path) >= peak * 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak <= memory.resident(tmp_path) < peak * 1024
