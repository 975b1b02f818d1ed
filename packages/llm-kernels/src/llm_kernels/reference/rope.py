"""Rotary position embedding: frequencies of every scaling scheme, tables, and the rotation."""

from __future__ import annotations

from math import ceil, floor, log, log2, pi
from typing import Literal

import numpy as np

from llm_kernels.errors import ConfigError, ShapeError
from llm_kernels.families import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    NtkScaling,
    Rope,
    Sizes,
    YarnScaling,
)


def rotated_dim(rope: Rope, sizes: Sizes) -> int:
    """How many elements of a head one channel rotates: R, even."""
    turned = sizes.rotary or int(sizes.head_dim * rope.fraction)
    return turned // rope.channels // 2 * 2


def inverse_frequencies(rope: Rope, sizes: Sizes, length: int = 0) -> np.ndarray:
    """Angle per position of each rotated pair: float32 [R/2].

    `length` is the number of tokens in the context; only the dynamic schemes look at it.
    """
    dim = rotated_dim(rope, sizes)
    frequencies = _scaled(rope, sizes, dim, length)
    if rope.half_precision:
        frequencies = frequencies.astype(np.float16)
    return frequencies.astype(np.float32)


def attention_factor(sizes: Sizes) -> float:
    """What cos and sin are multiplied by; only YaRN's and LongRoPE's are not one."""
    scaling = sizes.rope_scaling
    return scaling.attention_factor if isinstance(scaling, YarnScaling | LongScaling) else 1.0


def cos_sin(
    rope: Rope, sizes: Sizes, positions: np.ndarray, length: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Tables for `rotate`: positions [T] -> cos and sin, float32 [T, R/2]."""
    # The original code multiplies in float32, and at far positions its rounding is visible.
    angles = positions.astype(np.float32)[:, None] * inverse_frequencies(rope, sizes, length)
    factor = np.float32(attention_factor(sizes))
    return np.cos(angles) * factor, np.sin(angles) * factor


def rotate(
    x: np.ndarray, cos: np.ndarray, sin: np.ndarray, pairing: Literal["half", "interleaved"]
) -> np.ndarray:
    """Rotate all pairs of x [T, H, R] by tables [T, R/2]: float32 [T, H, R]."""
    half = x.shape[-1] // 2
    first, second = (
        (x[..., :half], x[..., half:]) if pairing == "half" else (x[..., 0::2], x[..., 1::2])
    )
    cos, sin = cos[:, None], sin[:, None]
    turned = (first * cos - second * sin, second * cos + first * sin)
    if pairing == "half":
        return np.concatenate(turned, axis=-1)
    return np.stack(turned, axis=-1).reshape(x.shape)


def apply_rope(
    x: np.ndarray, rope: Rope, sizes: Sizes, positions: np.ndarray, length: int = 0
) -> np.ndarray:
    """Rotate the heads of x [T, H, D] by positions [channels, T]: float32 [T, H, D].

    Channel c turns elements c * R to (c + 1) * R of every head; the rest passes unchanged.
    """
    dim = rotated_dim(rope, sizes)
    parts = []
    for channel in range(rope.channels):
        cos, sin = cos_sin(rope, sizes, positions[channel], length)
        part = x[..., channel * dim : (channel + 1) * dim]
        parts.append(rotate(part, cos, sin, rope.pairing))
    return np.concatenate([*parts, x[..., rope.channels * dim :]], axis=-1)


def logn_scale(positions: np.ndarray, trained: int) -> np.ndarray:
    """Qwen-1's factor for queries at `positions` [T]: log of the token count, base `trained`.

    One up to the trained length; float32 [T].
    """
    count = np.maximum(positions.astype(np.float64) + 1, trained)
    return (np.log(count) / log(trained)).astype(np.float32)


def check_stretch(sizes: Sizes, held: int, length: int) -> None:
    """Refuse to extend `held` cached tokens to `length` where LongRoPE changes its frequencies.

    Raises ShapeError.
    """
    scaling = sizes.rope_scaling
    if isinstance(scaling, LongScaling) and 0 < held <= scaling.original < length:
        message = (
            f"The context grows from {held} to {length} tokens and passes {scaling.original}, from "
            "where on this model rotates every token differently (longrope), so its cached keys "
            "no longer hold. Pass all tokens again with a new cache."
        )
        raise ShapeError(message)


def _plain(theta: float, dim: int) -> np.ndarray:
    return theta ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)


def _scaled(rope: Rope, sizes: Sizes, dim: int, length: int) -> np.ndarray:
    theta, scaling = sizes.theta, sizes.rope_scaling
    grow = dim / (dim - 2) if dim > 2 else 1.0
    if rope.dynamic_ntk and length > sizes.max_positions:
        # Qwen-1: alpha grows in steps, at every doubling of the trained length.
        alpha = max(1, 2 ** ceil(log2(length / sizes.max_positions) + 1) - 1)
        theta *= alpha**grow
    match scaling:
        case LinearScaling(factor):
            return _plain(theta, dim) / factor
        case NtkScaling(factor):
            return _plain(theta * factor**grow, dim)
        case DynamicScaling(factor, original) if length > original:
            return _plain(theta * (factor * length / original - (factor - 1)) ** grow, dim)
        case Llama3Scaling():
            return _llama3(_plain(theta, dim), scaling)
        case LongScaling():
            divisors = scaling.long if length > scaling.original else scaling.short
            return _plain(theta, dim) / _fitting(divisors, dim)
        case YarnScaling():
            return _yarn(theta, dim, scaling)
    return _plain(theta, dim)


def _fitting(divisors: tuple[float, ...], dim: int) -> np.ndarray:
    if len(divisors) != dim // 2:
        message = (
            f"rope_scaling states {len(divisors)} factors, but {dim} elements of a head rotate, "
            f"which are {dim // 2} pairs. Copy the factors from the model's original config.json."
        )
        raise ConfigError(message)
    return np.array(divisors)


def _llama3(frequencies: np.ndarray, scaling: Llama3Scaling) -> np.ndarray:
    """Wavelengths beyond `original / low` are stretched, below `original / high` kept."""
    turns = scaling.original * frequencies / (2 * pi)
    smooth = (turns - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    smooth = np.clip(smooth, 0, 1)
    return (1 - smooth) * frequencies / scaling.factor + smooth * frequencies


def _yarn(theta: float, dim: int, scaling: YarnScaling) -> np.ndarray:
    """Section 3.2 of arXiv:2309.00071: interpolate slow pairs, keep fast ones, ramp between."""

    def pair_with(turns: float) -> float:
        return dim * log(scaling.original / (turns * 2 * pi)) / (2 * log(theta))

    low, high = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = floor(low), ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high != low else 0.001
    ramp = np.clip((np.arange(dim // 2, dtype=np.float64) - low) / width, 0, 1)
    plain = _plain(theta, dim)
    return ramp * plain / scaling.factor + (1 - ramp) * plain
