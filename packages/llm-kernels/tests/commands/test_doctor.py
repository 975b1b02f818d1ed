from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llm_kernels import memory, native
from llm_kernels.commands import doctor as module
from llm_kernels.commands import machine
from llm_kernels.commands.doctor import doctor
from llm_kernels.commands.options import DoctorOptions

GIB = 1 << 30


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = doctor(DoctorOptions())
    return code, " ".join(capsys.readouterr().out.split())


def test_a_healthy_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys)
    assert code == 0
    assert "PROBLEM" not in text
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in text
    assert "llm-toolchain-kernels" in text
    assert native.detected_isa() in text


def test_what_is_missing_comes_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "version_of", lambda name: None)
    monkeypatch.setattr(memory, "total", lambda: GIB)
    monkeypatch.setattr(memory, "available", lambda: GIB // 2)
    monkeypatch.setattr(machine, "disk", lambda folder: (9 * GIB, GIB))
    code, text = run(capsys)
    assert code == 0
    assert "0.5 GiB of memory are free" in text
    assert "1.0 GiB of disk are free" in text
    assert "paddlenlp is only for llm train, llm peft: install llm-train" in text
    assert "not installed" in text


def test_a_missing_extension_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "llm_kernels._native", None)
    code, text = run(capsys)
    assert code == 1
    assert "PROBLEM The native kernels cannot be loaded" in text
    assert "Everything" not in text


def test_an_old_python_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_LEAST_PYTHON", (99, 0))
    code, text = run(capsys)
    assert code == 1
    assert "is too old" in text


def test_no_vector_instructions_are_worth_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(native, "selected_isa", lambda: "scalar")
    code, text = run(capsys)
    assert code == 0
    assert "without vector instructions" in text


def test_json_holds_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_LEAST_PYTHON", (99, 0))
    assert doctor(DoctorOptions(json=True)) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["llm-toolchain-kernels"] == machine.version_of("llm-toolchain-kernels")
    assert found["frameworks"].keys() >= {"paddlepaddle", "torch"}
    assert len(found["problems"]) == 1
