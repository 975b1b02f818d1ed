"""Which blocks of the KV cache are free, who holds the others, and what full blocks contain.

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
        self._holders = [0] * num_blocks
        self._key_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Number of blocks that nobody holds; some may still have content that is worth keeping."""
        return len(self._free) + len(self._idle)

    @property
    def kept(self) -> int:
        """Number of blocks that nobody holds but whose content is still known."""
        return len(self._idle)

    def needed(self, tokens: int) -> int:
        """Number of blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_size)

    def holders(self, block: int) -> int:
        """How many hold `block`."""
        return self._holders[block]

    def allocate(self, count: int) -> list[int]:
        """Take `count` blocks; the caller has checked `free`."""
        assert count <= self.free, f"{count} blocks wanted, {self.free} free"
        taken = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block in taken:
            self._holders[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Add a holder to each of `blocks`."""
        for block in blocks:
            assert self._holders[block] > 0, f"block {block} is free and cannot be shared"
            self._holders[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """Take a holder from each of `blocks`, given in the order of their tokens."""
        # Later blocks are of no use without earlier ones, so they are to be evicted first.
        for block in reversed(blocks):
            assert self._holders[block] > 0, f"block {block} is released twice"
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._key_of[block] is None:
                self._free.append(block)
            else:
                self._idle[block] = None

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
            if self._holders[block] == 0:
                del self._idle[block]
            self._holders[block] += 1
            found.append(block)
        return found

    def forget(self) -> None:
        """Forget the content of all blocks."""
        self._free += self._idle
        self._idle.clear()
        self._block_of.clear()
        self._key_of = [None] * self.num_blocks

    def _evict(self) -> int:
        block, _ = self._idle.popitem(last=False)
        key = self._key_of[block]
        assert key is not None
        self._key_of[block] = None
        del self._block_of[key]
        return block
