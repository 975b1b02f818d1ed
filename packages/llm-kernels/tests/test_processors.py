from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_kernels import processors


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 64 processors without a control group."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="ascii")


def test_this_machine() -> None:
    assert 1 <= processors.available() <= len(os.sched_getaffinity(0))


def test_without_a_quota_it_is_the_affinity(root: Path) -> None:
    assert processors.available(root) == 64
    write(root, "proc/self/cgroup", "0::/\n")
    write(root, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert processors.available(root) == 64


@pytest.mark.parametrize(
    ("quota", "count"), [("250000", 3), ("200000", 2), ("1000", 1), ("99999999", 64)]
)
def test_a_quota_counts_rounded_up(root: Path, quota: str, count: int) -> None:
    write(root, "proc/self/cgroup", "0::/\n")
    write(root, "sys/fs/cgroup/cpu.max", f"{quota} 100000\n")
    assert processors.available(root) == count


def test_the_least_quota_of_all_groups_above_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/pod/inner\n")
    write(root, "sys/fs/cgroup/pod/cpu.max", "400000 100000\n")
    write(root, "sys/fs/cgroup/pod/inner/cpu.max", "800000 100000\n")
    assert processors.available(root) == 4


def test_the_first_version_of_control_groups(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:memory:/\n4:cpu,cpuacct:/box\n")
    write(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "150000\n")
    write(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    assert processors.available(root) == 2
    write(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n")
    assert processors.available(root) == 64
