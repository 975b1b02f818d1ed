"""Keys that stand for the content of full blocks: the tokens of a block and all before them.

A chain: the key of a block hashes the key of the one before it and its own tokens (BLAKE2b, 128
bits), so that equal keys mean equal beginnings. The first link is the root, which differs for
whatever else the keys and values depend on (an adapter, a tuned prefix).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

KEY_BYTES = 16


def root_key(*names: str | None) -> bytes:
    """The root of sequences whose keys and values depend on `names` besides their tokens."""
    return blake2b(repr(names).encode(), digest_size=KEY_BYTES).digest()


class BlockKeys:
    """The keys of one sequence's blocks, made as its tokens come; tokens are only ever appended.

    `offset`: places before the first token that hold something else, such as a tuned prefix.
    """

    def __init__(self, root: bytes, block_size: int, offset: int = 0) -> None:
        self._block_size = block_size
        self._offset = offset
        self._first = offset // block_size
        self._root = root
        self._keys: list[bytes] = []

    @property
    def first(self) -> int:
        """Number of the first block that holds a token."""
        return self._first

    def copy(self) -> BlockKeys:
        """The keys of another sequence that has begun with the same tokens."""
        other = BlockKeys(self._root, self._block_size, self._offset)
        other._keys = list(self._keys)
        return other

    def upto(self, token_ids: Sequence[int], tokens: int) -> list[bytes]:
        """Keys of the blocks from `first` on that the first `tokens` tokens fill."""
        count = (self._offset + tokens) // self._block_size - self._first
        while len(self._keys) < count:
            start = (self._first + len(self._keys)) * self._block_size - self._offset
            content = array("q", token_ids[max(start, 0) : start + self._block_size])
            parent = self._keys[-1] if self._keys else self._root
            self._keys.append(blake2b(parent + content.tobytes(), digest_size=KEY_BYTES).digest())
        return self._keys[:count]
