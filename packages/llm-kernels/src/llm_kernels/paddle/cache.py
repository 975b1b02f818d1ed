"""Keys and values of the tokens seen so far, for generation with the Paddle decoder.

The serving engine has a paged cache of its own; this one is for the dynamic graph: one growing
pair of tensors per layer. It does not know positions or masks.
"""

from __future__ import annotations

import paddle


class KeyValueCache:
    """Rotated keys and values, per layer [B, S, G, D]."""

    def __init__(self) -> None:
        self._keys: dict[int, paddle.Tensor] = {}
        self._values: dict[int, paddle.Tensor] = {}
        self.prompt = 0
        """T of the first call, the prompt; 0 before it."""

    @property
    def length(self) -> int:
        """S: tokens held for the layers that have been extended (layer 0 is first)."""
        return int(self._keys[0].shape[1]) if self._keys else 0

    def extend(
        self, layer: int, keys: paddle.Tensor, values: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Append [B, T, G, D] to `layer`; everything it holds now, [B, S, G, D]."""
        if layer in self._keys:
            keys = paddle.concat([self._keys[layer], keys], axis=1)
            values = paddle.concat([self._values[layer], values], axis=1)
        self.prompt = self.prompt or keys.shape[1]
        self._keys[layer], self._values[layer] = keys, values
        return keys, values

    def reorder(self, rows: paddle.Tensor) -> None:
        """Keep the sequences `rows` (int64 [B']), in that order: for beam search."""
        for held in (self._keys, self._values):
            for layer in held:
                held[layer] = paddle.index_select(held[layer], rows, axis=0)
