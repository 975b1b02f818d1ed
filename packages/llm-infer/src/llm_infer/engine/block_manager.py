"""Which blocks of the KV cache are free and how many sequences hold each of the others.

Knows numbers of blocks only, never what they hold. A block returns to the pool when its last
holder releases it, so that sequences may share the blocks of a common beginning.
"""

from __future__ import annotations

from collections.abc import Iterable


class BlockManager:
    """A pool of `num_blocks` blocks of `block_size` tokens each."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        # Taken from the end: the block released last is the likeliest to be in the CPU's caches.
        self._free = list(range(num_blocks - 1, -1, -1))
        self._holders = [0] * num_blocks

    @property
    def free(self) -> int:
        """Number of blocks that nobody holds."""
        return len(self._free)

    def needed(self, tokens: int) -> int:
        """Number of blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """Take `count` blocks; the caller has checked `free`."""
        assert count <= len(self._free), f"{count} blocks wanted, {len(self._free)} free"
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Add a holder to each of `blocks`."""
        for block in blocks:
            assert self._holders[block] > 0, f"block {block} is free and cannot be shared"
            self._holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """Take a holder from each of `blocks`; those without any are free again."""
        for block in blocks:
            assert self._holders[block] > 0, f"block {block} is released twice"
            self._holders[block] -= 1
            if self._holders[block] == 0:
                self._free.append(block)
