"""How much memory a decoder asks for, and what happens when there is less."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from llm_kernels.decoder import NativeDecoder
from llm_kernels.errors import KernelsError


@pytest.mark.parametrize("num_blocks", [1 << 60, (1 << 64) - 1, 1 << 45])
def test_a_cache_that_cannot_be_is_refused(
    random_model: Callable[..., Any], num_blocks: int
) -> None:
    model = random_model("llama")
    with pytest.raises(KernelsError, match=rf"{num_blocks} blocks \(num_blocks\) of .* fewer"):
        NativeDecoder(
            model.spec, model.sizes, model.parameters.__getitem__, num_blocks=num_blocks, threads=1
        )


@pytest.mark.parametrize(("num_blocks", "cause"), [(0, "holds nothing"), (-1, "num_blocks is -1")])
def test_no_cache_is_refused(random_model: Callable[..., Any], num_blocks: int, cause: str) -> None:
    model = random_model("llama")
    with pytest.raises(KernelsError, match=cause):
        NativeDecoder(
            model.spec, model.sizes, model.parameters.__getitem__, num_blocks=num_blocks, threads=1
        )


@pytest.mark.parametrize("threads", [0, -3, 100_000])
def test_threads_out_of_range_are_refused(random_model: Callable[..., Any], threads: int) -> None:
    model = random_model("llama")
    with pytest.raises(KernelsError, match=f"threads is {threads}; it must be"):
        NativeDecoder(
            model.spec, model.sizes, model.parameters.__getitem__, num_blocks=1, threads=threads
        )


UNUSED_CACHE = """
import numpy as np
from llm_kernels.decoder import NativeDecoder
from llm_kernels.families import FAMILIES, Sizes, parameters

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

sizes = Sizes(hidden=32, layers=2, heads=2, kv_heads=2, head_dim=16, mlp=32, vocab=64, eps=1e-5,
              max_positions=512)
shapes = parameters(FAMILIES["llama"], sizes)
before = resident()
decoder = NativeDecoder(FAMILIES["llama"], sizes, lambda key: np.ones(shapes[key], np.float32),
                        num_blocks=1 << 14, threads=1)
print(decoder.cache_bytes, resident() - before)
"""


def test_a_cache_takes_memory_only_where_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNUSED_CACHE], capture_output=True, text=True, check=True
    )
    asked, taken = map(int, done.stdout.split())
    assert asked == 1 << 29
    assert taken < asked // 8
