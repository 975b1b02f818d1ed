"""What a step computes: the loss of micro-batches and its gradients, on one process or a pipeline.

computation = make_computation(model, parallel, precision, loss_scale)
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
from llm_train.loop.precision import FULL, Precision, flashes
from llm_train.loop.shorter_rows import rearrangement
from llm_train.loss_scale import NOT_SCALED, LossScale
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
        """Gradients of (sum of losses) / `tokens`, scaled; that figure for this process's tokens.

        `after` is called when a micro-batch has gone backward. Stages of a pipeline that do not
        know the loss give 0.
        """

    def look(self, batches: Batches) -> Figures:
        """Losses and right guesses over the batches; zeros where this process does not know."""


class Whole:
    """The model runs from end to end here; `group` shares its vocabulary, None: nobody does."""

    def __init__(
        self, model: nn.Layer, precision: Precision, loss_scale: LossScale, group: Any = None
    ) -> None:
        self._model, self._group = model, group
        self._casting, self._loss_scale = precision.casting, loss_scale
        self._arrange = rearrangement(model)
        self._router_loss: RouterLoss | None = getattr(model, "router_loss", None)

    def train(self, batches: Batches, tokens: int, after: Callable[[], None]) -> float:
        """As `Computation.train`; a router's loss is added, and not in the figure."""
        mean = paddle.zeros([])
        for batch in map(self._arrange, batches):
            labels = as_tensor(batch["labels"])
            logits = self._logits(batch)
            loss = summed_loss(logits, labels, self._group) / tokens
            mean = mean + loss.detach()
            added = self._router_loss.take() if self._router_loss else None
            if added is not None:
                # Micro-batches count by their trained tokens, as for the loss itself.
                loss = loss + added * (trained_tokens(labels.numpy()) / tokens)
            (loss * self._loss_scale.value).backward()
            after()
        return float(mean)

    def _logits(self, batch: Mapping[str, Any]) -> paddle.Tensor:
        with self._casting():
            return self._model(**model_inputs(batch, flash=flashes(self._model)))

    def look(self, batches: Batches) -> Figures:
        """As `Computation.look`."""
        figures = Figures()
        with paddle.no_grad():
            for batch in map(self._arrange, batches):
                labels = as_tensor(batch["labels"])
                logits = self._logits(batch)
                figures.loss += float(summed_loss(logits, labels, self._group))
                figures.right += hits(logits, labels, self._group)
        return figures


class Staged:
    """The model is spread over the stages of a pipeline."""

    def __init__(
        self,
        model: SpecForCausalLM,
        parallel: Parallel,
        precision: Precision,
        loss_scale: LossScale,
        group: Any,
    ) -> None:
        self._pipeline = Pipeline(model.decoders, parallel, precision.casting)
        self._loss_scale, self._group = loss_scale, group
        self._model = model
        self._arrange = rearrangement(model)

    def train(self, batches: Batches, tokens: int, after: Callable[[], None]) -> float:
        """As `Computation.train`."""
        losses: list[paddle.Tensor] = []
        batches = list(map(self._arrange, batches))

        def loss(micro: int, logits: paddle.Tensor) -> paddle.Tensor:
            labels = as_tensor(batches[micro]["labels"])
            own = summed_loss(logits, labels, self._group) / tokens
            losses.append(own.detach())
            return own * self._loss_scale.value

        self._pipeline.train(self._inputs(batches), loss)
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

        self._pipeline.evaluate(self._inputs(batches), look)
        return figures

    def _inputs(self, batches: Batches) -> list[dict[str, paddle.Tensor]]:
        return [model_inputs(batch, flash=flashes(self._model)) for batch in batches]


def make_computation(
    model: nn.Layer,
    parallel: Parallel | None,
    precision: Precision = FULL,
    loss_scale: LossScale = NOT_SCALED,
) -> Computation:
    """The computation of a model that `llm_train.model.build_model` made for `parallel`.

    Its decoders have been told of the precision (`Precision.prepare`).
    """
    if parallel is None or not isinstance(model, SpecForCausalLM):
        return Whole(model, precision, loss_scale)
    split = splits_vocabulary(model.sizes, parallel.layout.tensor)
    group = parallel.tensor if split else None
    if parallel.layout.pipeline > 1:
        return Staged(model, parallel, precision, loss_scale, group)
    return Whole(model, precision, loss_scale, group)
