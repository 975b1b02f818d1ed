"""One decoder layer at a time in Paddle, and what the inputs of its linears look like.

Only the embedding and a single block are in memory. Runs on the GPU when Paddle has one. Gram
matrices are summed in Paddle on the same device and handed over as NumPy.

    embedding = Embedding(spec, sizes, dense)
    hidden = embedding.embed(token_ids)
    layer = Layer(spec, sizes, index, dense)
    with layer.observed(wanted) as grams: hidden = layer.run(hidden, embedding)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import nn

from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes
from llm_kernels.paddle.block import Block
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.layers import DENSE
from llm_kernels.paddle.passing import Pass
from llm_kernels.paddle.weights import load_parameters
from llm_quant.core.hessian import Gram

Dense = Callable[[ParameterKey], np.ndarray]


class Reading(NamedTuple):
    """Linears of one layer with equal readings see the same activation."""

    shared_input: str
    expert: int | None

    @classmethod
    def of(cls, key: ParameterKey) -> Reading:
        """What the linear `key` reads."""
        return cls(SLOTS[key.slot].shared_input, key.expert)


class Embedding:
    """Everything before the first block, and what the blocks share in a pass."""

    def __init__(self, spec: FamilySpec, sizes: Sizes, dense: Dense) -> None:
        """dense: canonical float32 parameters by key."""
        # A decoder without blocks and without a head of its own is just what `begin` needs; one
        # block is the least that sizes may state.
        self._decoder = Decoder(spec, replace(sizes, layers=1, tied=True))
        self._decoder.layers = nn.LayerList()
        load_parameters(self._decoder, dense)
        self._decoder.eval()
        self._shape: tuple[int, ...] = ()
        self._pass: Pass | None = None

    def embed(self, token_ids: np.ndarray) -> np.ndarray:
        """Inputs of the first block, float32 [B, T, E], for token ids int64 [B, T]."""
        with paddle.no_grad():
            hidden, _ = self._begin(token_ids)
        return np.asarray(hidden.numpy(), dtype=np.float32)

    def shared(self, batch: int, tokens: int) -> Pass:
        """Rotation and masks for B samples of T tokens; kept while the shape stays the same."""
        if self._pass is None or self._shape != (batch, tokens):
            self._shape = (batch, tokens)
            with paddle.no_grad():
                _, self._pass = self._begin(np.zeros((batch, tokens), dtype=np.int64))
        return self._pass

    def _begin(self, token_ids: np.ndarray) -> tuple[Any, Pass]:
        # Families that count inside an answer too (ChatGLM-6B, GLM) read a sample as the report
        # and the certificate do: all context, whose second position is 0. Others ignore it.
        count = np.arange(token_ids.shape[1])
        positions = np.broadcast_to([count, np.zeros_like(count)], (len(token_ids), 2, len(count)))
        return self._decoder.begin(paddle.to_tensor(token_ids), paddle.to_tensor(positions))


class Layer:
    """One decoder block with its weights."""

    def __init__(self, spec: FamilySpec, sizes: Sizes, index: int, dense: Dense) -> None:
        """dense: canonical float32 parameters by key, linears [N, K]."""
        self.index = index
        self._block = Block(spec, sizes, index, DENSE)
        self._block.eval()
        self._parameters: dict[ParameterKey, Any] = {
            ParameterKey.parse(f"layers.{index}.{name}"): parameter
            for name, parameter in self._block.named_parameters()
        }
        for key in self._parameters:
            self.set(key, dense(key))

    def set(self, key: ParameterKey, value: np.ndarray) -> None:
        """Replace one parameter by canonical float32 values (Paddle's linears are [K, N])."""
        linear = SLOTS[key.slot].kind == "linear" and value.ndim == 2
        self._parameters[key].set_value(np.ascontiguousarray(value.T) if linear else value)

    def run(self, hidden: np.ndarray, embedding: Embedding) -> np.ndarray:
        """The block's output float32 [B, T, E] for inputs [B, T, E]."""
        state = embedding.shared(hidden.shape[0], hidden.shape[1])
        with paddle.no_grad():
            return np.asarray(self._block(paddle.to_tensor(hidden), state).numpy())

    @contextmanager
    def observed(self, linears: Iterable[ParameterKey]) -> Iterator[Mapping[Reading, Observer]]:
        """Sum the Gram matrices of what `linears` read during the runs inside."""
        observers: dict[Reading, Observer] = {}
        hooks = []
        for key in linears:
            reading = Reading.of(key)
            if reading in observers:
                continue
            observers[reading] = Observer(self._parameters[key].shape[0])
            hooks.append(self._sublayer(key).register_forward_pre_hook(observers[reading]))
        try:
            yield observers
        finally:
            for hook in hooks:
                hook.remove()

    def _sublayer(self, key: ParameterKey) -> Any:
        layer: Any = self._block
        path = key.name.removeprefix(f"layers.{self.index}.").removesuffix(f".{key.leaf}")
        for part in path.split("."):
            layer = layer[int(part)] if part.isdecimal() else getattr(layer, part)
        return layer


class Observer:
    """A hook before a linear that sums x x^T of everything the linear reads."""

    def __init__(self, columns: int) -> None:
        """columns: K."""
        self._total = paddle.zeros([columns, columns], dtype="float32")
        self._tokens = 0

    def __call__(self, _layer: object, inputs: tuple[Any, ...]) -> None:
        """Paddle's hook signature; leaves the inputs as they are."""
        rows = inputs[0].reshape([-1, inputs[0].shape[-1]]).astype("float32")
        self._total += paddle.matmul(rows, rows, transpose_x=True)
        self._tokens += int(rows.shape[0])

    def gram(self) -> Gram:
        """What was seen so far."""
        return Gram(np.asarray(self._total.numpy()), self._tokens)
