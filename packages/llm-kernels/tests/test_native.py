from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_kernels import native
from llm_kernels.errors import KernelsError, NativeUnavailableError

LEVELS = ("scalar", "avx2", "avx512", "avx512bf16", "amx")
REPORT = "from llm_kernels import native; print(native.detected_isa(), native.selected_isa())"


def report(value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REPORT],
        env=os.environ | {"LLM_KERNELS_ISA": value},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_levels_rise_to_the_detected_one() -> None:
    levels = native.runnable_isas()
    assert levels[0] == "scalar"
    assert levels[-1] == native.detected_isa()
    assert native.selected_isa() in levels


@pytest.mark.parametrize("level", native.runnable_isas())
def test_the_environment_lowers_the_level(level: str) -> None:
    detected, selected = report(level).stdout.split()
    assert detected == native.detected_isa()
    assert selected == level


def test_a_level_that_the_processor_lacks_is_refused() -> None:
    lacking = [level for level in LEVELS if level not in native.runnable_isas()]
    if not lacking:
        pytest.skip("this processor runs every level")
    done = report(lacking[0])
    assert done.returncode != 0
    assert f"this processor runs {native.detected_isa()} at most" in done.stderr


def test_weights_are_packed_for_a_level_that_runs_here() -> None:
    for level in native.runnable_isas():
        assert native.packed_isa(level) in native.runnable_isas()
    assert native.packed_isa("scalar") == "scalar"
    assert native.usable_isas()[-1] == native.selected_isa()


def test_an_unknown_level_is_refused_with_the_levels_there_are() -> None:
    done = report("avx10")
    assert done.returncode != 0
    assert "LLM_KERNELS_ISA is 'avx10'" in done.stderr
    assert "scalar, avx2, avx512, avx512bf16 or amx" in done.stderr
    command = subprocess.run(
        [sys.executable, "-m", "llm_cli", "kernels", "info"],
        env=os.environ | {"LLM_KERNELS_ISA": "avx10"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert command.returncode == 2
    assert "LLM_KERNELS_ISA is 'avx10'" in command.stderr


def test_threads_are_the_processors_of_this_process() -> None:
    assert 1 <= native.default_threads() <= len(os.sched_getaffinity(0))


def test_a_missing_extension_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_kernels._native", None)
    with pytest.raises(NativeUnavailableError, match="C\\+\\+17 compiler"):
        native.selected_isa()


def test_pure_python_parts_do_not_load_the_extension() -> None:
    code = (
        "import sys, llm_kernels.families, llm_kernels.reference_decoder, llm_kernels.decoder; "
        "sys.exit('llm_kernels._native' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PACKAGE = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r"^\s*#include\s+([<\"][^>\"]+[>\"])", re.MULTILINE)
ALLOWED = {"<stdint.h>", "<stddef.h>", "<math.h>", "<immintrin.h>"}


def reached(source: Path) -> set[Path]:
    """The file and every file of ours that it includes, directly or not."""
    seen: set[Path] = set()
    todo = [source]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in INCLUDE.findall(file.read_text(encoding="utf-8")):
            found = [PACKAGE / root / name.strip('"') for root in ("csrc", "include")]
            todo.extend(path for path in found if name.startswith('"') and path.is_file())
    return seen


@pytest.mark.parametrize("unit", sorted(PACKAGE.glob("csrc/isa/*.cpp")), ids=lambda path: path.stem)
def test_units_of_an_instruction_set_include_no_header_of_the_standard_library(unit: Path) -> None:
    """A template compiled there could be the copy that the linker keeps for every processor."""
    files = reached(unit)
    assert len(files) > 5
    system = {
        name
        for file in files
        for name in INCLUDE.findall(file.read_text(encoding="utf-8"))
        if name.startswith("<")
    }
    assert system <= ALLOWED


def test_headers_of_ops_know_no_python() -> None:
    for header in PACKAGE.glob("include/llm_kernels/*.h"):
        assert "pybind" not in header.read_text(encoding="utf-8")


@pytest.mark.parametrize("threads", [0, -3])
def test_less_than_one_thread_is_refused(threads: int) -> None:
    with pytest.raises(KernelsError, match=f"threads is {threads}; it must be at least 1"):
        native.resolve(None, threads)
