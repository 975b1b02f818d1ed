"""The walk over the layers: gather, quantize, feed the next layer with what the quantized one says.

Each layer runs twice over all samples: once with its own weights to sum the Gram matrices of what
its linears read, once with the quantized weights to make the next layer's inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from llm_convert.model import Model
from llm_convert.verify.finite import check_finite
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.linear import Outcome, Recipe, quantize_linear
from llm_quant.layerwise.forward import Embedding, Layer, Reading
from llm_quant.layerwise.states import StateFile, batches
from llm_quant.layerwise.work import WorkFolder

Done = Callable[[ParameterKey, Outcome], None]


class LayerwisePass:
    """Quantizes the linears of a model layer by layer, keeping what is finished in a folder."""

    def __init__(
        self,
        model: Model,
        linears: Iterable[ParameterKey],
        samples: Sequence[np.ndarray],
        recipe: Recipe,
        work: WorkFolder,
        *,
        batch_size: int,
    ) -> None:
        """samples: token ids int64 [T] each. linears: the weights to quantize."""
        self._model = model
        self._linears = tuple(linears)
        self._samples = samples
        self._recipe = recipe
        self._work = work
        self._lengths = [sample.size for sample in samples]
        self._batches = list(batches(self._lengths, batch_size))
        self._embedding = Embedding(model.spec, model.sizes, model.dense)

    def run(self, done: Done) -> None:
        """Quantize all layers that are not finished yet; `done` is told of every linear.

        Raises llm-convert's ConvertError for weights, or inputs of linears, that are not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the error tells of it
            self._run(done)

    def _run(self, done: Done) -> None:
        finished = self._work.finished()
        if finished is None:
            self._states(0).write(
                self._embedding.embed(np.stack([self._samples[i] for i in batch]))
                for batch in self._batches
            )
        for index in range(finished or 0, self._model.sizes.layers):
            self._quantize_layer(index, done)

    def _quantize_layer(self, index: int, done: Done) -> None:
        model = self._model
        layer = Layer(model.spec, model.sizes, index, model.dense)
        inputs = self._states(index)
        chosen: dict[ParameterKey, Int4Weight | Int8Weight] = {}
        records: dict[str, dict[str, Any]] = {}
        for key, weight, outcome in self._quantized(layer, inputs):
            chosen[key] = weight
            records[key.name] = dataclasses.asdict(outcome)
            done(key, outcome)
        self._work.save_layer(index, chosen, records)
        if index + 1 < model.sizes.layers:
            self._states(index + 1).write(
                layer.run(inputs.read(batch), self._embedding) for batch in self._batches
            )
            self._work.drop_states(index)

    def _quantized(
        self, layer: Layer, inputs: StateFile
    ) -> Iterator[tuple[ParameterKey, Int4Weight | Int8Weight, Outcome]]:
        """Quantize the linears of a layer in it, those that read the same input together."""
        keys = [key for key in self._linears if key.layer == layer.index]
        with layer.observed(keys) as observers:
            for batch in self._batches:
                layer.run(inputs.read(batch), self._embedding)
        for reading, observer in observers.items():
            gram = observer.gram()
            for key in (key for key in keys if Reading.of(key) == reading):
                weight = self._model.dense(key)
                # Rounded, such numbers would become plausible ones.
                check_finite(weight, self._model.path, f"weights {key.name}")
                check_finite(gram.total, self._model.path, f"inputs of {key.name}")
                found, outcome = quantize_linear(weight, gram, self._recipe)
                layer.set(key, found.dequantize())
                self._model.release(key)
                yield key, found.packed(), outcome

    def _states(self, layer: int) -> StateFile:
        path = self._work.states_path(layer)
        return StateFile(path, self._lengths, self._model.sizes.hidden)
