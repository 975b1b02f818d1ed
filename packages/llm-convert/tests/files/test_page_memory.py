"""Memory that begins at a page and is used again, but never while anyone still sees it."""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from llm_convert.files.page_memory import PageMemory


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.uint8])
@pytest.mark.parametrize("shape", [(300, 70), (5,), (), (0, 4)])
def test_arrays_as_asked_for_begin_at_a_page(
    dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    array = PageMemory().array(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.ctypes.data % mmap.PAGESIZE == 0 or not array.size


def test_memory_is_taken_again_once_no_view_is_left() -> None:
    memory = PageMemory()
    first = memory.array((1000, 40), np.float32)
    address = first.ctypes.data
    view = first.T[3:].view(np.uint32)
    raw = memoryview(first.reshape(-1).view(np.uint8))
    del first
    assert memory.array((1000, 40), np.float32).ctypes.data != address
    del view
    assert memory.array((1000, 40), np.float32).ctypes.data != address
    del raw
    held = [memory.array((500, 40), np.float32) for _ in range(3)]
    assert address in {array.ctypes.data for array in held}


def test_no_more_pieces_than_were_in_use_at_once() -> None:
    memory, addresses = PageMemory(), set()
    for rows in (10, 900, 40, 900, 10, 500, 900):
        addresses.add(memory.array((rows, 1024), np.float32).ctypes.data)
    # The first one was too small for the second, and went; the rest fit where that one lay.
    assert len(addresses) <= 2


def test_threads_never_get_the_same_memory() -> None:
    memory = PageMemory()

    def fill(number: int) -> bool:
        rng = np.random.default_rng(number)
        for _ in range(300):
            array = memory.array((int(rng.integers(1, 4000)),), np.int64)
            array[:] = number
            if not (array == number).all():
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fill, range(8)))
