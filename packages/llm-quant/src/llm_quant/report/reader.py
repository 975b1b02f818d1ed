"""A model that reads a window and gives logits in chunks, so that memory does not grow with V.

The native engine does the work; this file only lays one sequence into its blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llm_convert.model import Model
from llm_convert.verify.finite import check_finite
from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import Learned, Rope

BLOCK_SIZE = 64
CHUNK_BYTES = 64 << 20  # of float32 logits


class Reader:
    """One model that reads one window at a time. Attribute: `chunk`, rows of logits at once."""

    def __init__(self, model: Model, max_seq_length: int) -> None:
        """Pack the weights; raises the errors of `NativeDecoder`."""
        # A plain sequence is all context, whose second position is 0 (ChatGLM-6B, GLM).
        rule = model.spec.position
        self._path = model.path
        self._two_positions = (isinstance(rule, Rope) and rule.channels == 2) or (
            isinstance(rule, Learned) and rule.block
        )
        self._blocks = -(-max_seq_length // BLOCK_SIZE)
        self.chunk = max(16, min(512, max_seq_length, CHUNK_BYTES // (4 * model.sizes.vocab)))
        self._decoder = NativeDecoder(
            model.spec,
            model.sizes,
            model.weight,
            num_blocks=self._blocks,
            block_size=BLOCK_SIZE,
            max_batch_tokens=self.chunk,
        )

    def read(self, ids: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
        """Logits float32 [<= chunk, V] for ids int [T], chunk after chunk.

        Raises llm-convert's ConvertError for logits that are not finite.
        """
        for start in range(0, len(ids), chunk):
            stop = min(start + chunk, len(ids))
            logits = self._decoder.step(
                StepBatch(
                    token_ids=ids[start:stop].astype(np.int32),
                    positions=np.arange(start, stop, dtype=np.int32),
                    query_start=np.array([0, stop - start], dtype=np.int32),
                    context_length=np.array([stop], dtype=np.int32),
                    block_tables=np.arange(self._blocks, dtype=np.int32)[None],
                    logits_rows=np.arange(stop - start, dtype=np.int32),
                    block_positions=(
                        np.zeros(stop - start, dtype=np.int32) if self._two_positions else None
                    ),
                )
            )
            check_finite(logits, self._path)
            yield logits
