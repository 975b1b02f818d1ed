"""The optimizer of one process whose loss was scaled; several processes scale in their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import paddle

from llm_train.loss_scale import LossScale
from llm_train.parallel.gradients import scale, sum_of_squares


class ScaledOptimizer:
    """An optimizer of one process whose gradients are `loss_scale` times too large."""

    def __init__(self, inner: Any, parameters: Iterable[Any], loss_scale: LossScale) -> None:
        self.inner, self.loss_scale = inner, loss_scale
        self._trained = [parameter for parameter in parameters if not parameter.stop_gradient]

    @paddle.no_grad()
    def step(self) -> None:
        """A step, or none where a gradient overflowed."""
        factor = self.loss_scale.value
        gradients = [p.grad for p in self._trained if p.grad is not None]
        if not self.loss_scale.accepts(math.sqrt(sum_of_squares(gradients))):
            return
        scale(gradients, 1.0, 0.0, factor)
        self.inner.step()

    def clear_grad(self, set_to_zero: bool = True) -> None:
        """Forget the gradients."""
        self.inner.clear_grad(set_to_zero)

    def get_lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.inner.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """What the inner optimizer keeps, by Paddle's own names."""
        return dict(self.inner.state_dict())

    def set_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.inner.set_state_dict(dict(state))
