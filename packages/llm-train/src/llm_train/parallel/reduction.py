"""Sharding stage 2: gradients go to their owner while going backward, and leave the others.

Parameters are put into buckets of one owner each. A bucket is added up as soon as all its gradients
are there, in one order on all ranks, whatever the order in which they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import paddle
import paddle.distributed as dist

_ELEMENTS = 1 << 22


@dataclass
class _Bucket:
    owner: int
    names: list[str] = field(default_factory=list)
    size: int = 0


class Reduction:
    """Watches the parameters `trained`, whose owners in `group` are `owners`."""

    def __init__(self, trained: Mapping[str, Any], owners: Mapping[str, int], group: Any) -> None:
        self._trained, self._group = trained, group
        self._buckets = _buckets(trained, owners)
        self._bucket_of = {name: i for i, held in enumerate(self._buckets) for name in held.names}
        self._summed: dict[str, paddle.Tensor] = {}
        self._waiting: list[set[str]] = []
        self._next = 0
        self._begin()
        for name, parameter in trained.items():
            parameter._register_backward_hook(lambda *_, name=name: self._came(name))

    @paddle.no_grad()
    def finish(self) -> None:
        """End a micro-batch: reduce what is left; the owner's sum becomes its gradient again."""
        while self._next < len(self._buckets):
            self._reduce(self._buckets[self._next])
        for name, gradient in self._summed.items():
            self._trained[name].grad = gradient
        self._summed = {}
        self._begin()

    def _begin(self) -> None:
        self._next = 0
        self._waiting = [set(bucket.names) for bucket in self._buckets]

    @paddle.no_grad()
    def _came(self, name: str) -> None:
        self._waiting[self._bucket_of[name]].discard(name)
        while self._next < len(self._buckets) and not self._waiting[self._next]:
            self._reduce(self._buckets[self._next])

    def _reduce(self, bucket: _Bucket) -> None:
        self._next += 1
        parameters = [self._trained[name] for name in bucket.names]
        flat = paddle.concat([_gradient(parameter).reshape([-1]) for parameter in parameters])
        dist.reduce(flat, dst=self._group.ranks[bucket.owner], group=self._group)
        sizes = [int(parameter.size) for parameter in parameters]
        for name, part in zip(bucket.names, paddle.split(flat, sizes), strict=True):
            parameter = self._trained[name]
            parameter.clear_gradient(False)
            if bucket.owner == self._group.rank:
                self._summed[name] = part.reshape(parameter.shape)


def _gradient(parameter: Any) -> paddle.Tensor:
    return paddle.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(trained: Mapping[str, Any], owners: Mapping[str, int]) -> list[_Bucket]:
    """The last parameters first, as going backward reaches them."""
    buckets: list[_Bucket] = []
    open_of: dict[int, _Bucket] = {}
    for name in reversed(list(trained)):
        owner = owners[name]
        bucket = open_of.get(owner)
        if bucket is None or bucket.size >= _ELEMENTS:
            bucket = open_of[owner] = _Bucket(owner)
            buckets.append(bucket)
        bucket.names.append(name)
        bucket.size += int(trained[name].size)
    return buckets
