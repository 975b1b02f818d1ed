"""`llm doctor`: what this machine has, what is missing for which command, and what to do."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_cli.console import console, table
from llm_kernels import memory, native, processors
from llm_kernels.commands import machine
from llm_kernels.commands.options import DoctorOptions
from llm_kernels.errors import NativeUnavailableError

_GIB = 1 << 30
_LEAST_PYTHON = (3, 11)
_LITTLE_MEMORY = 4 * _GIB
_LITTLE_DISK = 5 * _GIB


@dataclass(frozen=True)
class Framework:
    """A framework that only some commands need."""

    purpose: str
    remedy: str


FRAMEWORKS: Mapping[str, Framework] = {
    "paddlepaddle": Framework(
        "llm train, llm peft, llm quant; llm infer with --inference_model false",
        "install the package that needs it with its extra `paddle` (CPU)",
    ),
    "paddlepaddle-gpu": Framework(
        "training and quantizing on NVIDIA GPUs",
        "follow Paddle's installation page for your CUDA version",
    ),
    "paddlenlp": Framework("llm train, llm peft", "install llm-train, which brings it"),
    "torch": Framework("comparing with torch; not needed to convert", "pip install torch"),
    "transformers": Framework(
        "comparing with transformers; not needed to convert", "pip install transformers"
    ),
}
"""Optional frameworks by distribution name."""


def doctor(options: DoctorOptions) -> int:
    """Print what is here and what to do; 1 where something keeps the toolchain from working."""
    problems: list[str] = []
    advice: list[str] = []
    facts = _machine_rows(problems, advice)
    packages = {name: machine.version_of(name) for name in machine.PACKAGES}
    frameworks = {name: machine.version_of(name) for name in FRAMEWORKS}
    advice += [
        f"{name} is only for {FRAMEWORKS[name].purpose}: {FRAMEWORKS[name].remedy}."
        for name, version in frameworks.items()
        if version is None
    ]
    if options.json:
        found = {"machine": dict(facts), "packages": packages, "frameworks": frameworks}
        console.print(json.dumps(found | {"problems": problems, "notes": advice}), markup=False)
    else:
        _print_tables(facts, packages, frameworks)
        for line in (
            *(f"PROBLEM  {text}" for text in problems),
            *(f"note     {t}" for t in advice),
        ):
            console.print(line, markup=False)
        if not problems:
            console.print("Everything that the installed packages need is here.")
    return 1 if problems else 0


def _print_tables(
    facts: list[tuple[str, str]],
    packages: Mapping[str, str | None],
    frameworks: Mapping[str, str | None],
) -> None:
    missing = "not installed"
    table("Machine", ("what", "value"), facts)
    table(
        "Packages", ("package", "version"), [(name, v or missing) for name, v in packages.items()]
    )
    table(
        "Optional frameworks",
        ("framework", "version", "needed for"),
        [(name, v or missing, FRAMEWORKS[name].purpose) for name, v in frameworks.items()],
    )


def _machine_rows(problems: list[str], advice: list[str]) -> list[tuple[str, str]]:
    if sys.version_info < _LEAST_PYTHON:
        problems.append(
            f"Python {platform.python_version()} is too old; install Python 3.11 or newer."
        )
    model, features = machine.cpu_info()
    return [
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("processor", f"{model}, {processors.available()} usable"),
        ("processor features", ", ".join(features) or "none of those that the kernels use"),
        ("native kernels", _native_row(problems, advice)),
        ("memory", _memory_row(advice)),
        ("disk", _disk_row(advice)),
    ]


def _native_row(problems: list[str], advice: list[str]) -> str:
    try:
        selected, detected = native.selected_isa(), native.detected_isa()
    except NativeUnavailableError as error:
        problems.append(str(error))
        return "not loadable"
    except ValueError as error:  # LLM_KERNELS_ISA holds something else than a level
        problems.append(str(error))
        return "misconfigured"
    if selected == "scalar":
        advice.append(
            "The native kernels run without vector instructions, ten times slower or more: use a "
            "processor with AVX2, or unset LLM_KERNELS_ISA."
        )
    return f"{selected} (the processor has {detected})"


def _memory_row(advice: list[str]) -> str:
    total, free = memory.total(), memory.available()
    if total is None or free is None:
        return "unknown"
    if free < _LITTLE_MEMORY:
        advice.append(
            f"{free / _GIB:.1f} GiB of memory are free; a 7B model takes about 4 GiB in int4, 7 in "
            "int8, 28 in float32. Close other programs or choose a smaller model."
        )
    return f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} free"


def _disk_row(advice: list[str]) -> str:
    total, free = machine.disk(Path.cwd())
    if free < _LITTLE_DISK:
        advice.append(
            f"{free / _GIB:.1f} GiB of disk are free here; outputs are written whole beside the "
            "old ones before they replace them. Make room, or work in another folder."
        )
    return f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} free in this folder"
