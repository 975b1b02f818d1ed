from __future__ import annotations

from math import log
from typing import Any

import pytest

from llm_kernels.errors import ConfigError
from llm_kernels.families import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
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
        ({"rope_type": "longrope"}, "'longrope'.*linear"),
        ({"rope_type": "linear"}, "factor=None"),
        ({"rope_type": "linear", "factor": "2"}, "factor='2'"),
        ({**LLAMA3, "low_freq_factor": None}, "low_freq_factor=None"),
    ],
)
def test_unknown_schemes_and_missing_numbers_are_refused(
    stated: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        read_rope_scaling({"rope_scaling": stated}, 128)
