"""Tuned prefixes in the cache: keys and values that stand before the tokens of a request.

They are written once, into blocks that every request of that prefix shares; the last block, where
it is not full, is copied for each (Li and Liang 2021, arXiv:2101.00190).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.block_manager import BlockManager
from llm_infer.engine.sequence import PrefixBlocks
from llm_infer.errors import InferError


class CacheWriter(Protocol):
    """The part of a decoder that takes keys and values from elsewhere."""

    def write_cache(
        self,
        layer: int,
        slots: NDArray[np.int32],
        keys: NDArray[np.float32],
        values: NDArray[np.float32],
    ) -> None:
        """Write keys and values [T, G, D] of one layer to `slots` [T]."""
        ...


@dataclass(frozen=True, eq=False)
class TunedPrefix:
    """Keys and values, float32 [L, P, G, D] each, of P places before the first token."""

    keys: NDArray[np.float32]
    values: NDArray[np.float32]

    @property
    def tokens(self) -> int:
        """P."""
        return int(self.keys.shape[1])

    def blocks(self, block_size: int) -> int:
        """Blocks that it takes."""
        return -(-self.tokens // block_size)


class Prefixes:
    """The prefixes of one engine by name."""

    def __init__(self, blocks: BlockManager) -> None:
        self._blocks = blocks
        self._by_name: dict[str, PrefixBlocks] = {}

    @property
    def names(self) -> list[str]:
        """The names that requests may use."""
        return list(self._by_name)

    def add(self, name: str, prefix: TunedPrefix, writer: CacheWriter) -> None:
        """Write `prefix` into blocks that stay taken. Raises InferError where there are too few."""
        count, size = prefix.blocks(self._blocks.block_size), self._blocks.block_size
        if name in self._by_name:
            message = f"There is a prefix {name!r} already; give the other one another name."
            raise InferError(message)
        if count > self._blocks.free:
            message = (
                f"The prefix {name!r} of {prefix.tokens} places needs {count} blocks, but "
                f"{self._blocks.free} are free. Raise num_blocks."
            )
            raise InferError(message)
        blocks = self._blocks.allocate(count)
        places = np.arange(prefix.tokens)
        slots = np.array(blocks, np.int32)[places // size] * size + places % size
        for layer in range(len(prefix.keys)):
            keys, values = (
                np.ascontiguousarray(part[layer], np.float32)
                for part in (prefix.keys, prefix.values)
            )
            writer.write_cache(layer, slots.astype(np.int32), keys, values)
        self._by_name[name] = PrefixBlocks(prefix.tokens, tuple(blocks))

    def find(self, name: str | None) -> PrefixBlocks | None:
        """The tuned prefix of a request. Raises InferError for a name that nobody added."""
        if name is None:
            return None
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none is loaded"
            message = f"There is no prefix {name!r}; possible: {known}."
            raise InferError(message)
        return self._by_name[name]
