from __future__ import annotations

from pathlib import Path

import pytest

from llm_kernels.commands import machine

CPU = """processor\t: 0
model name\t: Some Processor @ 3 GHz
flags\t\t: fpu sse avx2 fma avx512f
processor\t: 1
model name\t: Some Processor @ 3 GHz
flags\t\t: fpu sse avx2 fma avx512f
"""
MEMORY = "MemTotal:       2048 kB\nMemFree:  12 kB\nMemAvailable:   1024 kB\n"


def test_processor() -> None:
    assert machine.cpu_info(CPU) == ("Some Processor @ 3 GHz", ("avx2", "fma", "avx512f"))
    model, features = machine.cpu_info("")
    assert model
    assert features == ()


def test_memory() -> None:
    assert machine.memory(MEMORY) == (2 << 20, 1 << 20)
    assert machine.memory("MemTotal: 1 kB\n") is None
    found = machine.memory()
    assert found is None or found[0] >= found[1] > 0


def test_memory_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_CGROUP_LIMITS", (str(limit),))
    assert machine.memory_limit() is None
    for text, expected in (("max\n", None), (f"{(1 << 63) - 4096}\n", None), ("4096\n", 4096)):
        limit.write_text(text)
        assert machine.memory_limit() == expected


def test_versions_and_processors_and_disk() -> None:
    assert machine.version_of("numpy")
    assert machine.version_of("no-such-distribution-of-anyone") is None
    total, free = machine.disk(Path.cwd())
    assert total >= free >= 0
