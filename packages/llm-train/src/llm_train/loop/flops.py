"""Which share of what this machine could compute a run uses (MFU)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llm_kernels.families import FamilySpec, Sizes
from llm_train.forecast.cost import flops_per_token
from llm_train.forecast.pace import measured_peak


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
