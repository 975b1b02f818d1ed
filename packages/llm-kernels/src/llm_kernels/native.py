"""The compiled extension: where it is, which instruction set it runs, how many threads it takes.

Everything native goes through `extension()`, so that the pure-Python parts of the package work
where the extension was never built. The environment's LLM_KERNELS_ISA lowers the instruction set.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from llm_kernels import processors
from llm_kernels.errors import KernelsError, NativeUnavailableError


def extension() -> ModuleType:
    """The module `llm_kernels._native`; NativeUnavailableError where it is not built."""
    try:
        return importlib.import_module("llm_kernels._native")
    except ImportError as error:
        message = (
            f"The native kernels cannot be loaded ({error}). Install the package with a C++17 "
            "compiler at hand: pip install packages/llm-kernels."
        )
        raise NativeUnavailableError(message) from error


def detected_isa() -> str:
    """The best one of this processor: `scalar`, `avx2`, `avx512`, `avx512bf16` or `amx`."""
    return str(extension().detected_isa())


def selected_isa() -> str:
    """The instruction set that is used: the detected one, or a lower one by LLM_KERNELS_ISA.

    Raises KernelsError where the variable holds anything else than the name of such a level.
    """
    try:
        return str(extension().selected_isa())
    except NativeUnavailableError:
        raise
    except ValueError as error:
        raise KernelsError(str(error)) from error


def runnable_isas() -> tuple[str, ...]:
    """Every instruction set that this processor runs, lowest first."""
    return tuple(extension().runnable_isas())


def packed_isa(isa: str) -> str:
    """The instruction set whose packed weights `isa`, one of `runnable_isas()`, reads."""
    return str(extension().packed_isa(isa))


def usable_isas() -> tuple[str, ...]:
    """Those of `runnable_isas()` that LLM_KERNELS_ISA leaves. Raises as `selected_isa`."""
    runnable = runnable_isas()
    return runnable[: runnable.index(selected_isa()) + 1]


def default_threads() -> int:
    """How many processors this process may keep busy, by affinity and control group."""
    return processors.available()


def resolve(isa: str | None, threads: int | None) -> tuple[str, int]:
    """What an op runs on: its arguments, or the defaults for what is None.

    Raises KernelsError for less than one thread.
    """
    if threads is not None and threads < 1:
        message = f"threads is {threads}; it must be at least 1 (None: every processor)."
        raise KernelsError(message)
    return (
        selected_isa() if isa is None else isa,
        default_threads() if threads is None else threads,
    )
