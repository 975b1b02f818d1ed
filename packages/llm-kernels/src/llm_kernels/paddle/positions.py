"""Rotary positions as two tables and one signed permutation.

Every pairing is the same formula, x * cos + (x P) * sin: P swaps the two members of a pair and
negates one. Channels that are not rotated have cos 1 and sin 0. So a family's `Rope` is data here,
and the rotation is three elementwise operations of one shape, which Paddle runs on all cores.
"""

from __future__ import annotations

import numpy as np
import paddle

from llm_kernels.families import Rope, Sizes
from llm_kernels.paddle.frequencies import rope_frequencies


class RotaryTables:
    """cos and sin of every position up to the longest seen, and P, for one model."""

    def __init__(self, rope: Rope, sizes: Sizes) -> None:
        self._rope, self._sizes = rope, sizes
        self._cos: paddle.Tensor | None = None
        self._sin: paddle.Tensor | None = None
        self._frequencies: np.ndarray | None = None
        self.swap = paddle.to_tensor(_swap(rope, sizes.head_dim))

    def rows(self, positions: paddle.Tensor, context: int) -> tuple[paddle.Tensor, paddle.Tensor]:
        """cos and sin for `positions` int64 [B or 1, C, T] (C channels), each [B or 1, T, 1, D].

        `context` is the length of the sequence so far: schemes that stretch with it depend on it.
        """
        self._grow(int(positions.max()) + 1, context)
        assert self._cos is not None
        assert self._sin is not None
        span = self._sizes.head_dim // self._rope.channels
        parts = []
        for table in (self._cos, self._sin):
            chosen = [
                paddle.nn.functional.embedding(
                    positions[:, channel], table[:, channel * span : (channel + 1) * span]
                )
                for channel in range(self._rope.channels)
            ]
            whole = chosen[0] if len(chosen) == 1 else paddle.concat(chosen, axis=-1)
            parts.append(whole.unsqueeze(2))
        return parts[0], parts[1]

    def _grow(self, needed: int, context: int) -> None:
        """Make the tables at least `needed` rows long, with the frequencies that `context` asks."""
        frequencies, factor = rope_frequencies(self._rope, self._sizes, context)
        same = self._frequencies is not None and np.array_equal(frequencies, self._frequencies)
        if same and self._cos is not None and self._cos.shape[0] >= needed:
            return
        length = 1 << max(needed - 1, 1).bit_length()
        column = _columns(self._rope, self._sizes.head_dim)
        angles = np.arange(length)[:, None] * np.append(frequencies, 0.0)[column]
        scale = np.where(column < len(frequencies), factor, 1.0)
        self._cos = paddle.to_tensor((np.cos(angles) * scale).astype(np.float32))
        self._sin = paddle.to_tensor((np.sin(angles) * scale).astype(np.float32))
        self._frequencies = frequencies


def _columns(rope: Rope, width: int) -> np.ndarray:
    """int [D]: which frequency turns each channel; the number of frequencies where none does."""
    turned = int(width * rope.fraction) // rope.channels
    half = np.arange(turned // 2)
    one = np.tile(half, 2) if rope.pairing == "half" else np.repeat(half, 2)
    rest = np.full(width - turned * rope.channels, turned // 2)
    return np.concatenate([np.tile(one, rope.channels), rest])


def _swap(rope: Rope, width: int) -> np.ndarray:
    """float32 [D, D]: P of the module's formula, for row vectors."""
    turned = int(width * rope.fraction) // rope.channels
    matrix = np.zeros((width, width), dtype=np.float32)
    for start in range(0, turned * rope.channels, turned):
        for i in range(turned // 2):
            pair = (i, i + turned // 2) if rope.pairing == "half" else (2 * i, 2 * i + 1)
            first, second = start + pair[0], start + pair[1]
            matrix[second, first], matrix[first, second] = -1.0, 1.0
    return matrix
