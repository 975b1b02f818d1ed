"""Which blocks of the KV cache are free, how often the others are held, and what full ones contain.

Knows numbers of blocks and keys of their content, never a tensor. A block returns to the pool when
its last holder releases it, so that sequences may share the blocks of a common beginning. A full
block may be registered under a key that stands for its tokens and all before them
(`block_keys`): it then stays when nobody holds it, for whoever comes with the same beginning, until
its room is needed; the one that was not held for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockManager:
    """A pool of `num_blocks` blocks of `block_size` tokens each."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        # Taken from the end: the block released last is the likeliest to be in the CPU's caches.
        self._free = list(range(num_blocks - 1, -1, -1))
        self._ref_counts = [0] * num_blocks
        self._key_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}
        self._evictable: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Number of blocks that nobody holds; some may still have content that is worth keeping."""
        return len(self._free) + len(self._evictable)

    @property
    def cached(self) -> int:
        """Number of blocks that nobody holds but whose content is still known."""
        return len(self._evictable)

    def needed(self, tokens: int) -> int:
        """Number of blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_size)

    def ref_count(self, block: int) -> int:
        """How many hold `block`."""
        return self._ref_counts[block]

    def allocate(self, count: int) -> list[int]:
        """Take `count` blocks; the caller has checked `free`."""
        assert count <= self.free, f"{count} blocks wanted, {self.free} free"
        taken = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block in taken:
            self._ref_counts[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Add a holder to each of `blocks`."""
        for block in blocks:
            assert self._ref_counts[block] > 0, f"block {block} is free and cannot be shared"
            self._ref_counts[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """Take a holder from each of `blocks`, given in the order of their tokens."""
        # Later blocks are of no use without earlier ones, so they are to be evicted first.
        for block in reversed(blocks):
            assert self._ref_counts[block] > 0, f"block {block} is released twice"
            self._ref_counts[block] -= 1
            if self._ref_counts[block]:
                continue
            if self._key_of[block] is None:
                self._free.append(block)
            else:
                self._evictable[block] = None

    def register(self, block: int, key: bytes) -> None:
        """Say that `block` is full and what it contains; the first block of a key stays known."""
        if self._key_of[block] is None and key not in self._block_of:
            self._key_of[block] = key
            self._block_of[key] = block

    def find(self, keys: Iterable[bytes]) -> list[int]:
        """The blocks of the longest beginning of `keys` that is known, each held once more."""
        found = []
        for key in keys:
            block = self._block_of.get(key)
            if block is None:
                break
            if self._ref_counts[block] == 0:
                del self._evictable[block]
            self._ref_counts[block] += 1
            found.append(block)
        return found

    def forget(self) -> None:
        """Forget the content of all blocks."""
        self._free += self._evictable
        self._evictable.clear()
        self._block_of.clear()
        self._key_of = [None] * self.num_blocks

    def _evict(self) -> int:
        block, _ = self._evictable.popitem(last=False)
        key = self._key_of[block]
        assert key is not None
        self._key_of[block] = None
        del self._block_of[key]
        return block
