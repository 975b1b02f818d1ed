"""How a checkpoint stretches its rotary frequencies: one small type per scheme, read from a config.

Reads Hugging Face's `rope_scaling` (and `rope_parameters` of newer files) and PaddleNLP's
`rope_scaling_type` / `rope_scaling_factor`. The formulas are in `llm_kernels.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log, nan, sqrt
from typing import Any, TypeAlias

from llm_kernels.errors import ConfigError
from llm_kernels.families.fields import is_number, plain_number, plain_object


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al. 2023, arXiv:2306.15595)."""

    factor: float


@dataclass(frozen=True)
class NtkScaling:
    """Theta grown once, by `factor` (the NTK-aware scheme)."""

    factor: float


@dataclass(frozen=True)
class DynamicScaling:
    """Theta grown with the context once it passes `original` tokens."""

    factor: float
    original: int


@dataclass(frozen=True)
class Llama3Scaling:
    """Low frequencies divided by `factor`, high ones kept, a smooth step between (LLaMA 3.1)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original: int


@dataclass(frozen=True)
class YarnScaling:
    """YaRN (Peng et al. 2023, arXiv:2309.00071).

    `attention_factor` multiplies cos and sin, and so the scores by its square. `score_factor`
    multiplies the scores of latent attention (DeepSeek's `mscale_all_dim`).
    """

    factor: float
    original: int
    beta_fast: float
    beta_slow: float
    attention_factor: float
    truncate: bool = True
    score_factor: float = 1.0


@dataclass(frozen=True)
class LongScaling:
    """LongRoPE (Ding et al. 2024, arXiv:2402.13753): a divisor for the frequency of every pair.

    `short` up to `original` tokens of context, `long` beyond. `attention_factor` multiplies cos and
    sin. Keys in a cache keep the divisors that they were turned by, so a context that passes
    `original` must be computed anew as a whole.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original: int
    attention_factor: float


RopeScaling: TypeAlias = (
    LinearScaling | NtkScaling | DynamicScaling | Llama3Scaling | YarnScaling | LongScaling
)


def read_rope_scaling(config: Mapping[str, Any], max_positions: int) -> RopeScaling | None:
    """The scaling that a `config.json` states; None where it states none.

    Raises ConfigError for a scheme that is not known, or one that lacks a field.
    """
    stated = plain_object(config, "rope_scaling") or plain_object(config, "rope_parameters")
    if not stated and config.get("rope_scaling_type"):
        stated = {
            "rope_type": config["rope_scaling_type"],
            "factor": config.get("rope_scaling_factor", 1.0),
        }
    kind = stated.get("rope_type") or stated.get("type") or "default"
    if kind == "default":
        return None
    if not isinstance(kind, str) or kind not in _READERS:
        message = (
            f"config.json asks for the rope scaling {kind!r}; supported: {', '.join(_READERS)}. "
            "Use a checkpoint without it, or add the scheme to llm_kernels.families.scaling."
        )
        raise ConfigError(message)
    original = config.get("original_max_position_embeddings")
    if original is not None and _READERS[kind] is _long:
        # Phi-3 states it beside the scaling, not in it.
        stated = {**stated, "original_max_position_embeddings": original}
    return _READERS[kind](stated, max_positions)


def _number(stated: Mapping[str, Any], field: str) -> float:
    value = plain_number(stated, field, nan)
    if not value > 0:
        message = (
            f"config.json's rope_scaling has {field}={stated.get(field)!r}; a number above 0 is "
            "needed. Copy the value from the checkpoint's original config.json."
        )
        raise ConfigError(message)
    return value


def _original(stated: Mapping[str, Any], max_positions: int) -> int:
    length = plain_number(stated, "original_max_position_embeddings", 0) or max_positions
    if length < 1:
        message = f"config.json's rope_scaling starts from a length of {length}; 1 is the least."
        raise ConfigError(message)
    return int(length)


def _linear(stated: Mapping[str, Any], max_positions: int) -> LinearScaling:  # noqa: ARG001
    return LinearScaling(_number(stated, "factor"))


def _ntk(stated: Mapping[str, Any], max_positions: int) -> NtkScaling:  # noqa: ARG001
    return NtkScaling(_number(stated, "factor"))


def _dynamic(stated: Mapping[str, Any], max_positions: int) -> DynamicScaling:
    # transformers grows theta from max_position_embeddings whatever `original_...` says.
    return DynamicScaling(_number(stated, "factor"), max_positions)


def _llama3(stated: Mapping[str, Any], max_positions: int) -> Llama3Scaling:  # noqa: ARG001
    return Llama3Scaling(
        factor=_number(stated, "factor"),
        low_freq_factor=_number(stated, "low_freq_factor"),
        high_freq_factor=_number(stated, "high_freq_factor"),
        original=int(_number(stated, "original_max_position_embeddings")),
    )


def _yarn(stated: Mapping[str, Any], max_positions: int) -> YarnScaling:
    original = _original(stated, max_positions)
    factor = _number(stated, "factor") if stated.get("factor") else max_positions / original
    mscale, mscale_all = (plain_number(stated, f, 0) for f in ("mscale", "mscale_all_dim"))
    attention = (
        _magnitude(factor, mscale) / _magnitude(factor, mscale_all)
        if mscale and mscale_all
        else _magnitude(factor)
    )
    return YarnScaling(
        factor=factor,
        original=original,
        beta_fast=plain_number(stated, "beta_fast", 0) or 32.0,
        beta_slow=plain_number(stated, "beta_slow", 0) or 1.0,
        attention_factor=plain_number(stated, "attention_factor", attention),
        truncate=bool(stated.get("truncate", True)),
        score_factor=_magnitude(factor, mscale_all) ** 2,
    )


def _magnitude(factor: float, scale: float = 1.0) -> float:
    return 0.1 * scale * log(factor) + 1.0 if factor > 1 else 1.0


def _long(stated: Mapping[str, Any], max_positions: int) -> LongScaling:
    original = _original(stated, max_positions)
    factor = max_positions / original
    if not stated.get("original_max_position_embeddings"):
        factor = plain_number(stated, "factor", 0) or 1.0
    attention = sqrt(1 + log(factor) / log(max(original, 2))) if factor > 1 else 1.0
    return LongScaling(
        short=_divisors(stated, "short_factor"),
        long=_divisors(stated, "long_factor"),
        original=original,
        attention_factor=plain_number(stated, "attention_factor", attention),
    )


def _divisors(stated: Mapping[str, Any], field: str) -> tuple[float, ...]:
    values = stated.get(field)
    numbers = isinstance(values, list | tuple) and all(is_number(v) and v > 0 for v in values)
    if not numbers or not values:
        message = (
            f"config.json's rope_scaling has {field}={values!r}; a list of numbers, one for each "
            "rotated pair, is needed. Copy it from the checkpoint's original config.json."
        )
        raise ConfigError(message)
    return tuple(float(value) for value in values)


_READERS: Mapping[str, Callable[[Mapping[str, Any], int], RopeScaling]] = {
    "linear": _linear,
    "ntk": _ntk,
    "dynamic": _dynamic,
    "dynamic_ntk": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _long,
    "su": _long,
}
