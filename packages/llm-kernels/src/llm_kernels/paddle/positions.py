"""Rotary positions as two tables and one signed permutation.

Every pairing is the same formula, x * cos + (x P) * sin: P swaps the two members of a pair and
negates one. Channels that are not rotated have cos 1 and sin 0. So a family's `Rope` is data here,
and the rotation is elementwise operations of one shape, which Paddle runs on all cores.
The angles are those of `llm_kernels.reference`.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from llm_kernels.families import Rope, Sizes
from llm_kernels.reference import cos_sin, inverse_frequencies, rotated_dim


class RotaryTables:
    """cos and sin of every position up to the longest seen, and P, for one model."""

    def __init__(self, rope: Rope, sizes: Sizes) -> None:
        self._rope, self._sizes = rope, sizes
        self._tables: tuple[paddle.Tensor, paddle.Tensor] | None = None
        self._frequencies = np.zeros(0, dtype=np.float32)
        self.swap = paddle.to_tensor(_swap(rope, sizes))

    def rows(self, positions: paddle.Tensor, context: int) -> tuple[paddle.Tensor, paddle.Tensor]:
        """cos and sin for `positions` int64 [B or 1, C, T] (C channels), each [B or 1, T, 1, D].

        `context` is the length of the sequence so far: schemes that stretch with it depend on it.
        """
        tables = self._long_enough(int(positions.max()) + 1, context)
        cos, sin = (
            paddle.concat(
                [F.embedding(positions[:, channel], part) for channel, part in enumerate(parts)],
                axis=-1,
            ).unsqueeze(2)
            for parts in (self._channels(table) for table in tables)
        )
        return cos, sin

    def _channels(self, table: paddle.Tensor) -> list[paddle.Tensor]:
        """The columns of a table that each channel reads; the last one's go to the end."""
        width = rotated_dim(self._rope, self._sizes)
        begin = [channel * width for channel in range(self._rope.channels)]
        end = [*begin[1:], self._sizes.head_dim]
        return [table[:, first:last] for first, last in zip(begin, end, strict=True)]

    def _long_enough(self, needed: int, context: int) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The tables with at least `needed` rows and the frequencies that `context` asks for."""
        frequencies = inverse_frequencies(self._rope, self._sizes, context)
        same = np.array_equal(frequencies, self._frequencies)
        if self._tables is not None and same and self._tables[0].shape[0] >= needed:
            return self._tables
        length = 1 << max(needed - 1, 1).bit_length()
        cos, sin = cos_sin(self._rope, self._sizes, np.arange(length), context)
        still = (np.ones((length, 1), np.float32), np.zeros((length, 1), np.float32))
        column = _columns(self._rope, self._sizes)
        self._tables = (
            paddle.to_tensor(np.concatenate([cos, still[0]], axis=1)[:, column]),
            paddle.to_tensor(np.concatenate([sin, still[1]], axis=1)[:, column]),
        )
        self._frequencies = frequencies
        return self._tables


def _columns(rope: Rope, sizes: Sizes) -> np.ndarray:
    """int [D]: which frequency turns each element; one past the last where none does."""
    turned = rotated_dim(rope, sizes)
    pairs = np.arange(turned // 2)
    one = np.tile(pairs, 2) if rope.pairing == "half" else np.repeat(pairs, 2)
    rest = np.full(sizes.head_dim - turned * rope.channels, turned // 2)
    return np.concatenate([np.tile(one, rope.channels), rest])


def _swap(rope: Rope, sizes: Sizes) -> np.ndarray:
    """float32 [D, D]: P of the module's formula, for row vectors."""
    turned, width = rotated_dim(rope, sizes), sizes.head_dim
    matrix = np.zeros((width, width), dtype=np.float32)
    for start in range(0, turned * rope.channels, turned):
        for i in range(turned // 2):
            pair = (i, i + turned // 2) if rope.pairing == "half" else (2 * i, 2 * i + 1)
            first, second = start + pair[0], start + pair[1]
            matrix[second, first], matrix[first, second] = -1.0, 1.0
    return matrix
