"""The optimizer of sharding stage 3: it steps on slices, whose weights decay like the whole's.

(Paddle's own stage 3 gives slices other names than `apply_decay_param_fun` knows, so that sliced
weights do not decay. Here the slices themselves are what is asked about.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle

from llm_kernels.paddle.decoder import Decoder
from llm_train.loss_scale import LossScale
from llm_train.parallel.collectives import sum_gradients
from llm_train.parallel.gradients import global_norm, scale
from llm_train.parallel.groups import Parallel
from llm_train.parallel.optimizer import MakeOptimizer
from llm_train.parallel.slices import SlicedModel


class SlicedOptimizer:
    """Steps on the slices of the parameters `named`, which are those of `decoder`."""

    def __init__(
        self,
        named: Mapping[str, Any],
        decoder: Decoder,
        make: MakeOptimizer,
        parallel: Parallel,
        limit: float,
        loss_scale: LossScale,
    ) -> None:
        self.parallel, self.limit, self.loss_scale = parallel, limit, loss_scale
        self.model = SlicedModel(named, decoder, parallel.sharding)
        self.trained = {
            name: held for name, held in self.model.slices.items() if not held.part.stop_gradient
        }
        self.inner = make([held.part for held in self.trained.values()])

    def after_backward(self) -> None:
        """A micro-batch has gone backward."""
        self.model.order.finish()

    @paddle.no_grad()
    def step(self) -> None:
        """One step on the gradients of the processes together; none where one overflowed."""
        parts = [held.part for held in self.trained.values()]
        sum_gradients(parts, self.parallel.data)
        gradients = [part.grad for part in parts if part.grad is not None]
        norm, factor = global_norm(gradients, self.parallel), self.loss_scale.value
        if not self.loss_scale.accepts(norm):
            return
        scale(gradients, norm, self.limit, factor)
        self.inner.step()

    def clear_grad(self, set_to_zero: bool = True) -> None:  # noqa: ARG002
        """Forget the gradients."""
        for held in self.trained.values():
            held.part.clear_gradient(False)

    def get_lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.inner.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """What this process keeps, by Paddle's own names."""
        return dict(self.inner.state_dict())

    def set_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.inner.set_state_dict(dict(state))
