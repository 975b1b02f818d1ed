"""LoRA beside the linears of the native decoder, chosen for each sequence of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_convert.lora import LoraAdapter
from llm_infer.errors import UnsupportedError
from llm_kernels.decoder import NativeDecoder, StepBatch


class AdaptedDecoder:
    """A native decoder whose sequences may each have one of `adapters`, by their numbers from 0."""

    def __init__(self, decoder: NativeDecoder, adapters: Sequence[LoraAdapter]) -> None:
        self._decoder = decoder
        self.adapter_bytes = 0
        for number, adapter in enumerate(adapters):
            check_beside(adapter, number)
            for key, pair in adapter.pairs.items():
                a, b = (np.asarray(matrix, np.float32) for matrix in pair)
                down = np.ascontiguousarray(a.T)
                up = np.ascontiguousarray(b * np.float32(adapter.scaling_of(key)))
                self.adapter_bytes += down.nbytes + up.nbytes
                decoder.add_adapter(number, key, down, up)

    def __getattr__(self, name: str) -> object:
        """Whatever else the decoder has: its threads, its sizes, its cache."""
        return getattr(self._decoder, name)

    def step(self, batch: StepBatch) -> NDArray[np.float32]:
        """Logits, float32 [R, V], of the rows that `batch.logits_rows` names."""
        return self._decoder.step(batch)

    def copy_blocks(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values of all layers, block to block, one pair after the other."""
        self._decoder.copy_blocks(copies)


def check_beside(adapter: LoraAdapter, number: int) -> None:
    """Raise UnsupportedError for an adapter that does more than add beside linears of layers."""
    beyond = [*adapter.replaced, *(key for key in adapter.pairs if key.slot in ("embed", "head"))]
    if beyond:
        message = (
            f"Adapter {number + 1} of --lora_path changes {beyond[0].name}, which cannot be chosen "
            "for each request. Merge it (`llm peft merge`), or give it alone: then it is merged "
            "while the model loads."
        )
        raise UnsupportedError(message)
