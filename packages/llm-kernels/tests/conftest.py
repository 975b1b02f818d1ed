"""Random models of any family, for tests that compare implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from llm_kernels.families import (
    FAMILIES,
    FamilySpec,
    Latent,
    Learned,
    ParameterKey,
    Sizes,
    parameters,
)

# Other work on the machine must not fail a test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@dataclass(frozen=True)
class RandomModel:
    """A spec, small sizes, and weights whose norms and biases are not trivial."""

    spec: FamilySpec
    sizes: Sizes
    parameters: dict[ParameterKey, np.ndarray]

    def positions(self, count: int) -> np.ndarray:
        """Plausible positions [2, count] for families that have two channels, or [1, count]."""
        first = np.arange(count)
        two = getattr(self.spec.position, "channels", 1) == 2 or (
            isinstance(self.spec.position, Learned) and self.spec.position.block
        )
        return np.stack([np.minimum(first, 3), np.maximum(first - 3, 0)]) if two else first[None]


def small_sizes(spec: FamilySpec, **changes: Any) -> Sizes:
    """Sizes with grouped heads, an odd vocabulary, and a head_dim that is not hidden / heads."""
    sizes = Sizes(
        hidden=24,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=8,
        mlp=20,
        vocab=41,
        eps=1e-5,
        tied=bool(spec.head.tied_default),
        max_positions=64,
    )
    if spec.moe:
        sizes = replace(sizes, experts=5, experts_per_token=2, expert_mlp=12, shared_mlp=16)
        sizes = replace(sizes, routed_scale=1.5 if spec.moe.scaled else 1.0)
        if spec.moe.groups != "none":
            sizes = replace(sizes, experts=6, groups=3, groups_per_token=2)
    if spec.attention.capped:
        sizes = replace(sizes, score_cap=2.0, score_scale=0.3, logit_cap=3.0)
    sizes = replace(sizes, **changes)
    if spec.attention.latent != "none":
        narrow = Latent(
            kv_rank=10,
            rope_dim=2,
            value_dim=6,
            q_rank=12 if spec.attention.latent == "qkv" else 0,
        )
        sizes = replace(sizes, kv_heads=sizes.heads, rotary=2, latent=narrow)
    return sizes


def random_parameters(spec: FamilySpec, sizes: Sizes, seed: int) -> dict[ParameterKey, np.ndarray]:
    """Normal weights of every shape the model has; norms around one."""
    rng = np.random.default_rng(seed)
    made = {}
    for key, shape in parameters(spec, sizes).items():
        centre = 1.0 if key.slot.endswith("norm") and key.leaf == "weight" else 0.0
        values = centre + 0.2 * rng.standard_normal(shape)
        made[key] = values.astype(np.float32)
    return made


@pytest.fixture
def random_model() -> Callable[..., RandomModel]:
    """Factory: `random_model("llama", seed=1, kv_heads=1)`."""

    def make(family: str, seed: int = 0, **changes: Any) -> RandomModel:
        spec = FAMILIES[family]
        sizes = small_sizes(spec, **changes)
        return RandomModel(spec, sizes, random_parameters(spec, sizes, seed))

    return make
