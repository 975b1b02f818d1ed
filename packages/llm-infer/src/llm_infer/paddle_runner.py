"""The Paddle decoder as a step runner: the dynamic graph behind the same engine.

Keys and values lie in the engine's blocks, in Paddle tensors; each sequence of a step is computed
on its own. This is the path for comparing and for debugging models, not the fast one. Importing
this module imports paddle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from numpy.typing import NDArray

from llm_convert.lora import LoraAdapter
from llm_infer.engine.batch import adapter_of
from llm_infer.paddle_adapters import PaddleAdapters
from llm_kernels.decoder import StepBatch
from llm_kernels.families import FamilySpec, ParameterKey, Sizes
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters


def cache_bytes_per_block(sizes: Sizes, block_size: int) -> int:
    """Bytes of one block: float32 keys and values, [block_size, G, D] in each of L layers."""
    width = sizes.head_dim + sizes.value_dim
    return sizes.layers * block_size * sizes.kv_heads * width * 4


class PaddleRunner:
    """A decoder in dynamic graph, float32 on the CPU; the weights come from `dense(key)`.

    `adapters` may be chosen for each sequence, by their numbers from 0.
    """

    def __init__(
        self,
        spec: FamilySpec,
        sizes: Sizes,
        dense: Callable[[ParameterKey], np.ndarray],
        *,
        num_blocks: int,
        block_size: int,
        adapters: Sequence[LoraAdapter] = (),
    ) -> None:
        paddle.set_device("cpu")
        self._decoder = Decoder(spec, sizes)
        load_parameters(self._decoder, dense)
        self._decoder.eval()
        self._adapters = PaddleAdapters(self._decoder, adapters)
        self._block_size = block_size
        shape = [num_blocks * block_size, sizes.kv_heads]
        self._keys = [paddle.zeros([*shape, sizes.head_dim]) for _ in range(sizes.layers)]
        self._values = [paddle.zeros([*shape, sizes.value_dim]) for _ in range(sizes.layers)]
        self.cache_bytes = num_blocks * cache_bytes_per_block(sizes, block_size)
        self.weight_bytes = sum(int(p.size) * 4 for p in self._decoder.parameters())

    def step(self, batch: StepBatch) -> NDArray[np.float32]:
        """Logits, float32 [R, V], of the rows that `batch.logits_rows` names."""
        wanted = set(batch.logits_rows.tolist())
        rows = {}
        with paddle.no_grad():
            for index in range(len(batch.context_length)):
                start, end = (int(batch.query_start[index + i]) for i in (0, 1))
                self._adapters.active = adapter_of(batch, index)
                logits = self._sequence(batch, index, start, end)
                for row in wanted.intersection(range(start, end)):
                    rows[row] = logits[0, row - start].numpy()
        ordered = [rows[row] for row in batch.logits_rows.tolist()]
        vocab = self._decoder.sizes.vocab
        return np.stack(ordered) if ordered else np.zeros((0, vocab), np.float32)

    def copy_blocks(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values of all layers, block to block, one pair after the other."""
        size = self._block_size
        for source, target in copies:
            rows = paddle.arange(target * size, (target + 1) * size)
            for pool in (*self._keys, *self._values):
                paddle.scatter_(pool, rows, pool[source * size : (source + 1) * size])

    def write_cache(
        self,
        layer: int,
        slots: NDArray[np.int32],
        keys: NDArray[np.float32],
        values: NDArray[np.float32],
    ) -> None:
        """Write keys and values [T, G, D] of one layer, as they are, to `slots` int32 [T]."""
        rows = paddle.to_tensor(slots.astype(np.int64))
        for pool, part in ((self._keys, keys), (self._values, values)):
            paddle.scatter_(pool[layer], rows, paddle.to_tensor(part))

    def _sequence(self, batch: StepBatch, index: int, start: int, end: int) -> paddle.Tensor:
        length = int(batch.context_length[index])
        places = np.arange(length)
        blocks = batch.block_tables[index][places // self._block_size].astype(np.int64)
        slots = blocks * self._block_size + places % self._block_size
        cache = _PagedCache(self._keys, self._values, slots, length - (end - start))
        ids = paddle.to_tensor(batch.token_ids[start:end].astype(np.int64)).unsqueeze(0)
        if batch.block_positions is None or batch.prefix_length is None:
            return self._decoder(ids, cache=cache)
        both = np.stack([batch.positions[start:end], batch.block_positions[start:end]])
        prefix = batch.prefix_length[index : index + 1].astype(np.int64)
        return self._decoder(
            ids,
            position_ids=paddle.to_tensor(both[None].astype(np.int64)),
            cache=cache,
            prefix=paddle.to_tensor(prefix),
        )


class _PagedCache(KeyValueCache):
    """One sequence's keys and values inside the pool; position i lies in row `slots[i]`."""

    def __init__(
        self,
        keys: list[paddle.Tensor],
        values: list[paddle.Tensor],
        slots: NDArray[np.int64],
        held: int,
    ) -> None:
        super().__init__()
        self._pools = (keys, values)
        self._slots = paddle.to_tensor(slots)
        self._held = held

    @property
    def length(self) -> int:
        """Tokens held before this step."""
        return self._held

    def extend(
        self, layer: int, keys: paddle.Tensor, values: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Write [1, T, G, D] behind what is held; everything, [1, S, G, D]."""
        new = self._slots[self._held :]
        whole = []
        for pool, part in zip(self._pools, (keys, values), strict=True):
            paddle.scatter_(pool[layer], new, part[0])
            whole.append(paddle.index_select(pool[layer], self._slots, axis=0).unsqueeze(0))
        return whole[0], whole[1]
