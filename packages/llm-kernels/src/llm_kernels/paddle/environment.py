"""Makes Paddle use a CPU well: call `prepare()` before anything imports paddle.

What it sets was measured (see the package README): Paddle runs on one thread unless OMP_NUM_THREADS
says otherwise; its MKL takes a slow path on AMD unless MKL_DEBUG_CPU_TYPE=5; a transposed view is
copied element by element unless FLAGS_use_stride_kernel=0 makes the transpose itself copy, which
is 20 times faster; and glibc hands every large tensor back to the system and faults it in again,
which costs more than the arithmetic. A variable that the user has set is left as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import warnings
from pathlib import Path

from llm_kernels import processors

# glibc's malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX.
_KEEP_MEMORY = ((-1, 2**31 - 1), (-2, 64 << 20), (-4, 0))


def prepare(threads: int | None = None) -> int:
    """Set threads, code paths and the allocator, then import paddle without its warnings.

    `threads`: how many Paddle uses; None: OMP_NUM_THREADS, else the processors of this process.
    Returns that number. Where paddle is imported already, its threads cannot change any more.
    """
    if threads is None:
        threads = int(os.environ.get("OMP_NUM_THREADS") or processors.available())
    if "paddle" in sys.modules:
        return int(os.environ.get("OMP_NUM_THREADS") or 1)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("FLAGS_use_stride_kernel", "0")
    if _is_amd():
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
    keep_memory()
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            import paddle  # noqa: F401
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    return threads


def keep_memory() -> bool:
    """Let this process keep freed memory for the next tensor; whether the C library can do that."""
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    return tune is not None and all(tune(name, value) == 1 for name, value in _KEEP_MEMORY)


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
