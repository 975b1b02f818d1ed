"""Which share of what this machine could compute a run uses (MFU)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import paddle

from llm_kernels.families import FamilySpec, Sizes
from llm_train.forecast.cost import flops_per_token

_SIDE = 768
_SECONDS = 0.03
_TRIES = 5


@dataclass(frozen=True)
class Work:
    """What a model's tokens cost, and what `processes` as fast as this one could do in a second."""

    spec: FamilySpec
    sizes: Sizes
    peak: float
    processes: int = 1

    @classmethod
    def of(cls, model: Any, processes: int) -> Work | None:
        """The work of a model that knows its family; None for another."""
        spec, sizes = getattr(model, "spec", None), getattr(model, "sizes", None)
        if spec is None or sizes is None:
            return None
        return cls(spec, sizes, measured_peak() * processes, processes)

    def share(self, tokens_per_s: float, length: float) -> float:
        """MFU: the share of the peak that training so many tokens a second uses.

        `length`: tokens that attention looks at, those of a sample.
        """
        return tokens_per_s * flops_per_token(self.spec, self.sizes, length) / self.peak

    def raised(self, tokens_per_s: float, length: float) -> Work:
        """The same with the peak measured again, and at least what such a speed amounts to.

        The machine was busy with something else when the peak was measured.
        """
        reached = tokens_per_s * flops_per_token(self.spec, self.sizes, length)
        return replace(self, peak=max(reached, measured_peak() * self.processes))


def measured_peak() -> float:
    """Operations a second of a large float32 product on this device and its threads.

    The best of a few tries: others that compute only ever make it slower.
    """
    left = paddle.ones([_SIDE, _SIDE])
    paddle.matmul(left, left).numpy()
    return max(_speed(left) for _ in range(_TRIES))


def _speed(left: paddle.Tensor) -> float:
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        product = paddle.matmul(left, left)
        done += 1
    product[0, 0].item()
    return 2.0 * _SIDE**3 * done / (time.perf_counter() - began)
