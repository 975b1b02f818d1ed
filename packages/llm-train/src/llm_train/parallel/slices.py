"""Sharding stage 3: a rank keeps a slice of every weight, and the whole only while it is used.

Weights are whole in units: a block, or everything outside the blocks. A block's are gathered before
it runs and before it goes backward, and let go after; the rest is whole during a step. Gradients
are added up unit by unit, and each rank keeps those of its slices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer
from paddle.base.framework import EagerParamBase

from llm_kernels.paddle.decoder import Decoder
from llm_train.parallel.collectives import all_gather, reduce_scatter

SLICE = "@slice"
"""Ends the automatic name of a slice, after the parameter's."""


@dataclass
class Slice:
    """One parameter: its whole, which is empty while it is not used, and this rank's part of it.

    `part` is flat, ceil(size / n) elements; those beyond the end are zeros.
    """

    whole: Any
    part: Any
    shape: list[int]

    @property
    def size(self) -> int:
        """Elements of the whole."""
        return math.prod(self.shape)


def make_slice(parameter: Any, group: Any) -> Slice:
    """Cut a parameter; its whole is let go by the unit that holds it."""
    size, ranks = int(parameter.size), group.nranks
    width = -(-size // ranks)
    flat = np.zeros(width * ranks, np.float32)
    flat[:size] = parameter.numpy().reshape(-1)
    own = flat[group.rank * width : (group.rank + 1) * width]
    part = EagerParamBase(
        shape=[width], dtype=parameter.dtype, name=parameter.name + SLICE, trainable=True
    )
    part.set_value(own)
    part.stop_gradient = parameter.stop_gradient
    return Slice(parameter, part, list(parameter.shape))


class Unit:
    """Parameters that are whole at the same times."""

    def __init__(self, slices: Sequence[Slice], group: Any, order: UnitOrder) -> None:
        self.slices, self.group = list(slices), group
        self.whole = True
        self._order = order
        self._place = order.add(self)
        self.waiting: set[int] = set()
        self.trained = [held for held in self.slices if not held.whole.stop_gradient]
        for place, held in enumerate(self.trained):
            held.whole._register_backward_hook(lambda *_, place=place: self._came(place))
        self.begin()

    def begin(self) -> None:
        """A micro-batch begins: no gradient is there yet."""
        self.waiting = set(range(len(self.trained)))

    @paddle.no_grad()
    def gather(self) -> None:
        """Make the parameters whole."""
        if self.whole:
            return
        self.whole = True
        flat = paddle.concat([held.part for held in self.slices])
        rows = all_gather(flat, self.group).reshape([self.group.nranks, -1])
        widths = [int(held.part.size) for held in self.slices]
        for held, part in zip(self.slices, paddle.split(rows, widths, axis=1), strict=True):
            full = part.reshape([-1])[: held.size].reshape(held.shape)
            full._share_buffer_to(held.whole)

    def release(self) -> None:
        """Let the whole parameters go; the slices stay."""
        if self.whole:
            self.whole = False
            for held in self.slices:
                held.whole._clear_data()

    @paddle.no_grad()
    def reduce(self) -> None:
        """Add the gradients up over the ranks; each keeps those of its slices, and sums them."""
        if not self.trained:
            return
        ranks = self.group.nranks
        rows = []
        for held in self.trained:
            width = int(held.part.size)
            flat = paddle.zeros([width * ranks])
            if held.whole.grad is not None:
                flat[: held.size] = held.whole.grad.reshape([-1])
            held.whole.clear_gradient(False)
            rows.append(flat.reshape([ranks, width]))
        own = reduce_scatter(paddle.concat(rows, axis=1), self.group).reshape([-1])
        widths = [int(held.part.size) for held in self.trained]
        for held, gradient in zip(self.trained, paddle.split(own, widths), strict=True):
            before = held.part.grad
            held.part.grad = gradient if before is None else before + gradient

    def _came(self, place: int) -> None:
        self.waiting.discard(place)
        self._order.advance()


class UnitOrder:
    """Reduces units last to first, in the same order on all ranks."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._next = -1

    def add(self, unit: Unit) -> int:
        """Take a unit in, in the order in which units run; its place."""
        self.units.append(unit)
        self._next = len(self.units) - 1
        return self._next

    def advance(self) -> None:
        """Reduce and release units as far as all their gradients have come."""
        while self._next > 0 and not self.units[self._next].waiting:
            self._reduce_next()

    def finish(self) -> None:
        """A micro-batch has gone backward: reduce what is left, the first unit last."""
        while self._next >= 0:
            self._reduce_next()
        for unit in self.units:
            unit.begin()
        self._next = len(self.units) - 1

    def _reduce_next(self) -> None:
        unit = self.units[self._next]
        self._next -= 1
        unit.reduce()
        unit.release()


class _Entrance(PyLayer):
    """Going backward enters a unit at its output: its parameters must be whole."""

    @staticmethod
    def forward(ctx: Any, hidden: paddle.Tensor, unit: Unit) -> paddle.Tensor:
        ctx.unit = unit
        return hidden.clone()

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        ctx.unit.gather()
        return gradient.clone()


class SlicedModel:
    """The units of `decoder`, whose parameters are `named`, and its slices by name."""

    def __init__(self, named: Mapping[str, Any], decoder: Decoder, group: Any) -> None:
        blocks = list(decoder.blocks)
        within = {id(p): i for i, block in enumerate(blocks) for p in block.parameters()}
        self.slices = {name: make_slice(parameter, group) for name, parameter in named.items()}
        self.order = UnitOrder()
        outside = [s for s in self.slices.values() if id(s.whole) not in within]
        self.rest = Unit(outside, group, self.order)
        for place, block in enumerate(blocks):
            held = [s for s in self.slices.values() if within.get(id(s.whole)) == place]
            self._watch(block, Unit(held, group, self.order))
        for unit in self.order.units:
            unit.release()
        decoder.register_forward_pre_hook(lambda *_: self.rest.gather())
        decoder.register_forward_post_hook(self._after_all)

    def _after_all(self, _: Any, __: Any, output: paddle.Tensor) -> None:
        if output.stop_gradient:
            self.rest.release()

    def _watch(self, block: Any, unit: Unit) -> None:
        def before(*_: Any) -> None:
            unit.gather()

        def after(_: Any, __: Any, output: paddle.Tensor) -> paddle.Tensor:
            unit.release()
            return output if output.stop_gradient else _Entrance.apply(output, unit)

        block.register_forward_pre_hook(before)
        block.register_forward_post_hook(after)
