from __future__ import annotations

from pathlib import Path

from llm_kernels.commands import machine

CPU = """processor\t: 0
model name\t: Some Processor @ 3 GHz
flags\t\t: fpu sse avx2 fma avx512f
processor\t: 1
model name\t: Some Processor @ 3 GHz
flags\t\t: fpu sse avx2 fma avx512f
"""


def test_processor() -> None:
    assert machine.cpu_info(CPU) == ("Some Processor @ 3 GHz", ("avx2", "fma", "avx512f"))
    model, features = machine.cpu_info("")
    assert model
    assert features == ()


def test_versions_and_processors_and_disk() -> None:
    assert machine.version_of("numpy")
    assert machine.version_of("no-such-distribution-of-anyone") is None
    total, free = machine.disk(Path.cwd())
    assert total >= free >= 0
