"""What a step computes: the loss of micro-batches and its gradients, on one process or a pipeline.

computation = make_computation(model, parallel)
loss = computation.train(batches, tokens, after_backward)    # this process's part of the mean
figures = computation.look(batches)                          # of an evaluation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import paddle
from paddle import nn

from llm_train.loop.batches import as_tensor, model_inputs
from llm_train.loop.loss import hits, summed_loss, trained_tokens
from llm_train.loop.shorter_rows import rearrangement
from llm_train.model.router_loss import RouterLoss
from llm_train.model.spec_model import SpecForCausalLM
from llm_train.parallel.groups import Parallel
from llm_train.parallel.pipeline import Pipeline
from llm_train.parallel.tensor.factories import splits_vocabulary

Batches = Sequence[Mapping[str, Any]]


@dataclass
class Figures:
    """Sums over held-out tokens."""

    loss: float = 0.0
    right: int = 0


class Computation(Protocol):
    """Forward and backward of a model, however its parts are spread."""

    def train(self, batches: Batches, tokens: int, after: Callable[[], None]) -> float:
        """Gradients of (sum of losses) / `tokens`; that figure for this process's tokens.

        `after` is called when a micro-batch has gone backward. Stages of a pipeline that do not
        know the loss give 0.
        """

    def look(self, batches: Batches) -> Figures:
        """Losses and right guesses over the batches; zeros where this process does not know."""


class Whole:
    """The model runs from end to end here; `group` shares its vocabulary, None: nobody does."""

    def __init__(self, model: nn.Layer, group: Any = None) -> None:
        self._model, self._group = model, group
        self._arrange = rearrangement(model)
        self._router_loss: RouterLoss | None = getattr(model, "router_loss", None)

    def train(self, batches: Batches, tokens: int, after: Callable[[], None]) -> float:
        """As `Computation.train`; a router's loss is added, and not in the figure."""
        mean = paddle.zeros([])
        for batch in map(self._arrange, batches):
            logits = self._model(**model_inputs(batch))
            labels = as_tensor(batch["labels"])
            loss = summed_loss(logits, labels, self._group) / tokens
            mean = mean + loss.detach()
            added = self._router_loss.take() if self._router_loss else None
            if added is not None:
                # Micro-batches count by their trained tokens, as for the loss itself.
                loss = loss + added * (trained_tokens(labels.numpy()) / tokens)
            loss.backward()
            after()
        return float(mean)

    def look(self, batches: Batches) -> Figures:
        """As `Computation.look`."""
        figures = Figures()
        with paddle.no_grad():
            for batch in map(self._arrange, batches):
                labels = as_tensor(batch["labels"])
                logits = self._model(**model_inputs(batch))
                figures.loss += float(summed_loss(logits, labels, self._group))
                figures.right += hits(logits, labels, self._group)
        return figures


class Staged:
    """The model is spread over the stages of a pipeline."""

    def __init__(self, model: SpecForCausalLM, parallel: Parallel, group: Any) -> None:
        self._pipeline, self._group = Pipeline(model.decoders, parallel), group
        self._arrange = rearrangement(model)

    def train(self, batches: Batches, tokens: int, after: Callable[[], None]) -> float:
        """As `Computation.train`."""
        losses: list[paddle.Tensor] = []
        batches = list(map(self._arrange, batches))

        def loss(micro: int, logits: paddle.Tensor) -> paddle.Tensor:
            labels = as_tensor(batches[micro]["labels"])
            own = summed_loss(logits, labels, self._group) / tokens
            losses.append(own.detach())
            return own

        self._pipeline.train([model_inputs(batch) for batch in batches], loss)
        after()
        return float(paddle.stack(losses).sum()) if losses else 0.0

    def look(self, batches: Batches) -> Figures:
        """As `Computation.look`."""
        figures = Figures()
        batches = list(map(self._arrange, batches))

        def look(micro: int, logits: paddle.Tensor) -> paddle.Tensor:
            labels = as_tensor(batches[micro]["labels"])
            figures.loss += float(summed_loss(logits, labels, self._group))
            figures.right += hits(logits, labels, self._group)
            return logits

        self._pipeline.evaluate([model_inputs(batch) for batch in batches], look)
        return figures


def make_computation(model: nn.Layer, parallel: Parallel | None) -> Computation:
    """The computation of a model that `llm_train.model.build_model` made for `parallel`."""
    if parallel is None or not isinstance(model, SpecForCausalLM):
        return Whole(model)
    split = splits_vocabulary(model.sizes, parallel.layout.tensor)
    group = parallel.tensor if split else None
    if parallel.layout.pipeline > 1:
        return Staged(model, parallel, group)
    return Whole(model, group)
