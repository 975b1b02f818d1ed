"""Memory for large arrays that are made, written and forgotten one after the other.

The system clears every page it hands out, and files that are written past the page cache are only
written without a copy from memory that begins at a page. Both favour taking the same memory again.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
import weakref
from collections import deque
from math import prod

import numpy as np
import numpy.typing as npt


class PageMemory:
    """Arrays that begin at a page. Their memory is used again when no view of them is left."""

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._lock = threading.Lock()
        # Where views die, another thread may be, and this one inside of `_take`.
        self._returned: deque[mmap.mmap] = deque()

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """An array of any content, C-contiguous."""
        dtype = np.dtype(dtype)
        size = prod(shape) * dtype.itemsize
        pages = self._take(max(size, 1))
        # NumPy's views refer to it, not to each other: it dies with the last of them.
        owner = np.frombuffer(pages, np.uint8)
        weakref.finalize(owner, self._returned.append, pages).atexit = False
        return owner[:size].view(dtype).reshape(shape)

    def _take(self, size: int) -> mmap.mmap:
        """The smallest free memory of `size` bytes or more, or new memory in place of a free one.

        So there are never more pieces than were in use at once, each as large as it had to be.
        """
        with self._lock:
            while self._returned:
                self._free.append(self._returned.popleft())
            self._free.sort(key=len)
            for place, pages in enumerate(self._free):
                if len(pages) >= size:
                    return self._free.pop(place)
            if self._free:
                self._free.pop()
        return _pages(size)


def _pages(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # Not every system has large pages; without them the small ones do.
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
