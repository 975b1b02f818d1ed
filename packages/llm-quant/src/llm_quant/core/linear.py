"""Quantize one linear layer with what calibration saw: GPTQ, or rounding where GPTQ cannot help.

Never raises over the data: a Hessian that cannot be factored, or a result worse than plain
rounding, ends in plain rounding, and the outcome says so and why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from llm_quant.core.gptq import gptq
from llm_quant.core.grid import Grid
from llm_quant.core.hessian import Gram, inverse_factor, output_error
from llm_quant.core.quantized import Quantized, round_to_nearest


@dataclass(frozen=True)
class Recipe:
    """How every linear of a run is quantized."""

    grid: Grid
    damp: float = 0.01
    act_order: bool = True
    block: int = 128


@dataclass(frozen=True)
class Outcome:
    """What happened to one linear.

    Errors are ||X (W - Q)^T||^2 / ||X W^T||^2 on the calibration inputs, None when no input
    reached the layer. `damp` is the share of the mean diagonal that was added, None with "rtn".
    """

    method: str
    reason: str | None
    error: float | None
    rtn_error: float | None
    damp: float | None
    tokens: int
    dead_columns: int
    seconds: float


def quantize_linear(weight: np.ndarray, gram: Gram, recipe: Recipe) -> tuple[Quantized, Outcome]:
    """Quantize weights float32 [N, K] with the Gram matrix of their inputs."""
    begun = time.perf_counter()
    rounded = round_to_nearest(weight, recipe.grid)
    chosen, damp, reason = rounded, None, None
    energy = output_error(weight, gram.total)
    usable = np.isfinite(energy) and energy > 0
    rtn_error = _relative(weight, rounded, gram, energy) if usable else None
    error = rtn_error
    factor = inverse_factor(gram.total, recipe.damp, act_order=recipe.act_order)
    if factor is None or rtn_error is None:
        reason = _unusable(gram, energy)
    else:
        candidate = gptq(
            weight,
            factor.upper,
            factor.order,
            recipe.grid,
            act_order=recipe.act_order,
            block=recipe.block,
        )
        candidate_error = _relative(weight, candidate, gram, energy)
        if candidate_error <= rtn_error:
            chosen, damp, error = candidate, factor.damp, candidate_error
        else:
            reason = f"GPTQ's error {candidate_error:.3g} exceeds that of rounding"
    outcome = Outcome(
        method="rtn" if damp is None else "gptq",
        reason=reason,
        error=error,
        rtn_error=rtn_error,
        damp=damp,
        tokens=gram.tokens,
        dead_columns=gram.dead_columns,
        seconds=time.perf_counter() - begun,
    )
    return chosen, outcome


def _relative(weight: np.ndarray, chosen: Quantized, gram: Gram, energy: float) -> float:
    return output_error(weight - chosen.dequantize(), gram.total) / energy


def _unusable(gram: Gram, energy: float) -> str:
    if gram.tokens == 0:
        return "no calibration token reached this layer"
    if not np.isfinite(energy):
        return "its calibration inputs are not finite"
    if energy <= 0:
        return "its calibration inputs or its weights are all zero"
    return "its Hessian could not be factored with any damping"
