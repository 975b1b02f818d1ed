"""Canonical weights in and out of the Paddle decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.families import FAMILIES, ParameterKey
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters, read_parameters


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_goes_in_comes_out(family: str, random_model: Callable[..., Any]) -> None:
    model = random_model(family, seed=3)
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.parameters.__getitem__)
    read = read_parameters(decoder)
    assert read.keys() == model.parameters.keys()
    assert all(np.array_equal(read[key], model.parameters[key]) for key in read)


def test_linears_lie_as_paddle_wants_them(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.parameters.__getitem__)
    up = dict(decoder.named_parameters())["layers.1.up.weight"]
    expected = model.parameters[ParameterKey("up", 1)]
    np.testing.assert_array_equal(up.numpy(), expected.T)


def test_a_wrong_shape_is_named(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    wrong = {**model.parameters, ParameterKey("k", 1): np.zeros((3, 3), np.float32)}
    with pytest.raises(ShapeError, match=r"layers\.1\.k\.weight has shape \(3, 3\)"):
        load_parameters(Decoder(model.spec, model.sizes), wrong.__getitem__)
