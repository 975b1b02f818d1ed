from __future__ import annotations

from math import log
from typing import Any

import pytest

from llm_kernels.errors import ConfigError
from llm_kernels.families import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    NtkScaling,
    RopeScaling,
    YarnScaling,
)
from llm_kernels.families.scaling import read_rope_scaling

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("config", "scaling"),
    [
        ({}, None),
        ({"rope_scaling": None}, None),
        ({"rope_scaling": {"rope_type": "default"}}, None),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, None),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, LinearScaling(2.0)),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2}}, LinearScaling(2.0)),
        ({"rope_scaling_type": "ntk", "rope_scaling_factor": 4.0}, NtkScaling(4.0)),
        ({"rope_scaling_type": "dynamic_ntk", "rope_scaling_factor": 2}, DynamicScaling(2.0, 128)),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, DynamicScaling(2.0, 128)),
        ({"rope_scaling": LLAMA3}, Llama3Scaling(8.0, 1.0, 4.0, 64)),
    ],
)
def test_schemes_are_read(config: dict[str, Any], scaling: RopeScaling | None) -> None:
    assert read_rope_scaling(config, 128) == scaling


def test_yarn_defaults_follow_the_paper() -> None:
    stated = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    assert read_rope_scaling({"rope_scaling": stated}, 128) == YarnScaling(
        4.0, 32, beta_fast=32.0, beta_slow=1.0, attention_factor=0.1 * log(4.0) + 1
    )


def test_yarn_without_a_factor_stretches_to_the_trained_length() -> None:
    stated = {"type": "yarn", "original_max_position_embeddings": 32}
    scaling = read_rope_scaling({"rope_scaling": stated}, 128)
    assert isinstance(scaling, YarnScaling)
    assert scaling.factor == 4.0


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"rope_type": "spline"}, "'spline'.*linear"),
        ({"rope_type": "longrope", "long_factor": [1.0]}, "short_factor=None.*list"),
        ({"rope_type": "linear"}, "factor=None"),
        ({"rope_type": "linear", "factor": "2"}, "factor .*'2'"),
        ({**LLAMA3, "low_freq_factor": None}, "low_freq_factor=None"),
    ],
)
def test_unknown_schemes_and_missing_numbers_are_refused(
    stated: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        read_rope_scaling({"rope_scaling": stated}, 128)


LONG = {"type": "longrope", "short_factor": [1, 2], "long_factor": [3, 4]}


def test_longrope_takes_the_original_length_from_beside_the_scaling() -> None:
    config = {"rope_scaling": LONG, "original_max_position_embeddings": 32}
    scaling = read_rope_scaling(config, 128)
    assert isinstance(scaling, LongScaling)
    assert (scaling.short, scaling.long, scaling.original) == ((1.0, 2.0), (3.0, 4.0), 32)
    # sqrt(1 + ln 4 / ln 32)
    assert scaling.attention_factor == pytest.approx(1.4**0.5)


def test_longrope_without_an_original_length_takes_its_factor() -> None:
    scaling = read_rope_scaling({"rope_scaling": {**LONG, "factor": 128.0}}, 128)
    assert isinstance(scaling, LongScaling)
    assert scaling.original == 128
    assert scaling.attention_factor == pytest.approx(2**0.5)


def test_yarn_states_what_multiplies_the_scores_of_latent_attention() -> None:
    stated = {"type": "yarn", "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 0.707}
    scaling = read_rope_scaling({"rope_scaling": stated}, 4096)
    assert isinstance(scaling, YarnScaling)
    assert scaling.attention_factor == 1.0
    # 0.1 * 0.707 * ln 40 + 1 = 1.2608, squared
    assert scaling.score_factor == pytest.approx(1.5896, abs=1e-4)
