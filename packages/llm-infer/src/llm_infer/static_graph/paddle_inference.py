"""An exported graph as a step runner: paddle.inference behind the same engine.

Keys and values lie in the engine's blocks, in NumPy; each sequence of a step is computed on its
own. Importing this module imports paddle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from paddle import inference

from llm_infer.static_graph.folder import Graph
from llm_kernels.decoder import StepBatch


class StaticGraphRunner:
    """The graph in a folder that `llm infer export` wrote, float32 on the CPU."""

    def __init__(
        self,
        folder: Path,
        prefix: str,
        graph: Graph,
        *,
        num_blocks: int,
        block_size: int,
        threads: int,
    ) -> None:
        self._graph = graph
        self._block_size = block_size
        self._predictor = _predictor(folder, prefix, threads)
        self._inputs = {
            name: self._predictor.get_input_handle(name)
            for name in self._predictor.get_input_names()
        }
        self._outputs = [
            self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()
        ]
        places = num_blocks * block_size
        self._keys = np.zeros((graph.layers, places, graph.kv_heads, graph.head_dim), np.float32)
        self._values = np.zeros((graph.layers, places, graph.kv_heads, graph.value_dim), np.float32)
        self.cache_bytes = self._keys.nbytes + self._values.nbytes
        self.weight_bytes = (folder / f"{prefix}.pdiparams").stat().st_size
        self.threads = threads

    def step(self, batch: StepBatch) -> NDArray[np.float32]:
        """Logits, float32 [R, V], of the rows that `batch.logits_rows` names."""
        wanted = batch.logits_rows.tolist()
        found: dict[int, NDArray[np.float32]] = {}
        for index in range(len(batch.context_length)):
            start, end = (int(batch.query_start[index + i]) for i in (0, 1))
            logits = self._sequence(batch, index, start, end)
            found |= {row: logits[row - start] for row in wanted if start <= row < end}
        rows = [found[row] for row in wanted]
        return np.stack(rows) if rows else np.zeros((0, self._graph.vocab), np.float32)

    def copy_blocks(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy keys and values of all layers, block to block, one pair after the other."""
        size = self._block_size
        for source, target in copies:
            for pool in (self._keys, self._values):
                pool[:, target * size : (target + 1) * size] = pool[
                    :, source * size : (source + 1) * size
                ]

    def _sequence(self, batch: StepBatch, index: int, start: int, end: int) -> NDArray[np.float32]:
        """Logits [T, V] of the rows `start` to `end`; their keys and values go to the cache."""
        places = np.arange(int(batch.context_length[index]))
        blocks = batch.block_tables[index][places // self._block_size]
        slots = blocks * self._block_size + places % self._block_size
        held = len(places) - (end - start)
        # The graph takes one place at least, and is told that it holds nothing.
        past = slots[: max(held, 1)]
        positions = [batch.positions[start:end]]
        if batch.block_positions is not None:
            positions.append(batch.block_positions[start:end])
        given = {
            "input_ids": batch.token_ids[None, start:end].astype(np.int64),
            "position_ids": np.stack(positions)[None].astype(np.int64),
            "past_length": np.array([held], np.int64),
            "past_keys": self._keys[:, past],
            "past_values": self._values[:, past],
        }
        if batch.prefix_length is not None:
            given["prefix"] = batch.prefix_length[index : index + 1].astype(np.int64)
        for name, handle in self._inputs.items():
            handle.reshape(given[name].shape)
            handle.copy_from_cpu(np.ascontiguousarray(given[name]))
        self._predictor.run()
        logits, keys, values = (output.copy_to_cpu() for output in self._outputs)
        self._keys[:, slots[held:]] = keys
        self._values[:, slots[held:]] = values
        return np.asarray(logits, np.float32)


def _predictor(folder: Path, prefix: str, threads: int) -> inference.Predictor:
    config = inference.Config(str(folder / f"{prefix}.json"), str(folder / f"{prefix}.pdiparams"))
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(threads)
    config.disable_glog_info()
    return inference.create_predictor(config)
