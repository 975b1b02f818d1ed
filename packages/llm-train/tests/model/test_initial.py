"""New weights are what they should be, and only the seed's business."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_kernels.families import FAMILIES, ParameterKey, Sizes, parameters
from llm_train.model.initial import initial_parameters

SIZES = Sizes(hidden=64, layers=8, heads=4, kv_heads=2, head_dim=16, mlp=128, vocab=300, eps=1e-5,
              max_positions=32)  # fmt: skip


@pytest.mark.parametrize("family", ["llama", "bloom", "gpt2"])
def test_no_weight_is_degenerate(family: str) -> None:
    get = initial_parameters(FAMILIES[family], SIZES, {}, 1)
    for key, shape in parameters(FAMILIES[family], SIZES).items():
        array = get(key)
        assert (array.shape, array.dtype) == (shape, np.float32)
        if len(shape) == 2:
            scale = 0.02 / (4 if key.slot in ("out", "down") else 1)
            assert array.std() == pytest.approx(scale, rel=0.1), key.name
            assert abs(array.mean()) < scale / 10
        else:
            assert set(array.tolist()) == {0.0 if key.leaf == "bias" else 1.0}


def test_the_seed_and_the_name_decide() -> None:
    one, same, other = (initial_parameters(FAMILIES["llama"], SIZES, {}, s) for s in (1, 1, 2))
    key, next_layer = ParameterKey("q", 0), ParameterKey("q", 1)
    assert np.array_equal(one(key), same(key))
    assert not np.array_equal(one(key), other(key))
    assert not np.array_equal(one(key), one(next_layer))


def test_the_configurations_range_is_used() -> None:
    get = initial_parameters(FAMILIES["llama"], SIZES, {"initializer_range": 0.5}, 1)
    assert get(ParameterKey("up", 0)).std() == pytest.approx(0.5, rel=0.05)
    assert get(ParameterKey("down", 0)).std() == pytest.approx(0.5 / math.sqrt(16), rel=0.05)
