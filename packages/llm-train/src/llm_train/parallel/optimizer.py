"""The optimizer of a process among several: gradients in, the same weights everywhere out.

It stands where the Trainer expects an optimizer: `step` and `clear_grad`. `inner` is Paddle's own,
over the parameters (or slices of them) whose state this process keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle

from llm_train.loss_scale import LossScale
from llm_train.parallel.collectives import broadcast, sum_gradients
from llm_train.parallel.gradients import (
    counts_here,
    fill_missing,
    global_norm,
    scale,
    sum_partial,
)
from llm_train.parallel.groups import Parallel
from llm_train.parallel.owners import share_out
from llm_train.parallel.reduction import Reduction

MakeOptimizer = Callable[[Sequence[Any]], Any]
"""Parameters -> Paddle's optimizer over them, without clipping."""
_ELEMENTS = 1 << 23


class ParallelOptimizer:
    """Steps of `make`'s optimizer over the parameters `named`, by name, of this process.

    Sharding stages 1 and 2: every parameter has one owner in the sharding group, which alone keeps
    its state and hands the new values round. `limit`: largest norm of the gradient; 0: any.
    Gradients are `loss_scale` times too large.
    """

    def __init__(
        self,
        named: Mapping[str, Any],
        make: MakeOptimizer,
        parallel: Parallel,
        limit: float,
        loss_scale: LossScale,
    ) -> None:
        self.parallel, self.limit, self.loss_scale = parallel, limit, loss_scale
        self.trained = {name: p for name, p in named.items() if not p.stop_gradient}
        sizes = {name: int(parameter.size) for name, parameter in self.trained.items()}
        self.owners = share_out(sizes, parallel.layout.sharding)
        rank = parallel.layout.sharding_rank
        self.owned = {name: p for name, p in self.trained.items() if self.owners[name] == rank}
        self.inner = make(list(self.owned.values()))
        self.reduction = (
            Reduction(self.trained, self.owners, parallel.sharding)
            if parallel.layout.stage == 2
            else None
        )

    @property
    def state_owners(self) -> Mapping[str, int]:
        """Name -> the rank of the sharding group that keeps the state."""
        return self.owners

    def after_backward(self) -> None:
        """A micro-batch has gone backward."""
        if self.reduction is not None:
            self.reduction.finish()

    @paddle.no_grad()
    def step(self) -> None:
        """One step on the gradients of the processes together; all hold the new weights after.

        None where a gradient overflowed, on any of them.
        """
        parallel = self.parallel
        fill_missing(self._held())
        sum_partial(self._held(), parallel)
        sum_gradients(self._held(), parallel.data)
        if self.reduction is None:
            sum_gradients(self._held(), parallel.sharding)
        counted = [p.grad for p in self.owned.values() if counts_here(p, parallel)]
        norm = global_norm([g for g in counted if g is not None], parallel)
        factor = self.loss_scale.value
        if not self.loss_scale.accepts(norm):
            return
        owned = [p.grad for p in self.owned.values() if p.grad is not None]
        scale(owned, norm, self.limit, factor)
        self.inner.step()
        self._hand_round()

    def clear_grad(self, set_to_zero: bool = True) -> None:  # noqa: ARG002
        """Forget the gradients."""
        for parameter in self.trained.values():
            parameter.clear_gradient(False)

    def get_lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.inner.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """What this process keeps, by Paddle's own names."""
        return dict(self.inner.state_dict())

    def set_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.inner.set_state_dict(dict(state))

    def _held(self) -> list[Any]:
        """Parameters whose gradient this process has: all, or with stage 2 its own."""
        kept = self.trained if self.reduction is None else self.owned
        return [kept[name] for name in sorted(kept)]

    def _hand_round(self) -> None:
        group = self.parallel.sharding
        if group is None:
            return
        for rank in range(group.nranks):
            names = sorted(name for name, owner in self.owners.items() if owner == rank)
            for some in _pieces([self.trained[name] for name in names]):
                flat = paddle.concat([parameter.reshape([-1]) for parameter in some])
                broadcast(flat, rank, group)
                sizes = [int(parameter.size) for parameter in some]
                for parameter, part in zip(some, paddle.split(flat, sizes), strict=True):
                    parameter.set_value(part.reshape(parameter.shape))


def _pieces(parameters: Sequence[Any]) -> list[list[Any]]:
    """Runs of the parameters of about as many elements as are sent at once."""
    pieces: list[list[Any]] = []
    size = _ELEMENTS
    for parameter in parameters:
        if size >= _ELEMENTS:
            pieces.append([])
            size = 0
        pieces[-1].append(parameter)
        size += int(parameter.size)
    return pieces
