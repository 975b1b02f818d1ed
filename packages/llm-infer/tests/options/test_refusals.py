"""Sampling options out of range are refused by name, as the engine would refuse them later."""

from __future__ import annotations

import pytest

from llm_infer.engine import SamplingParams
from llm_infer.errors import SamplingError, UnsupportedError
from llm_infer.predict.options import PredictOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_p", 3.0),
        ("temperature", -1.0),
        ("temperature", float("inf")),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("repetition_penalty", 0.005),
        ("repetition_penalty", 101.0),
        ("seed", -1),
    ],
)
def test_what_the_engine_refuses_is_refused_before_loading(name, value):
    with pytest.raises(SamplingError, match=f"{name} is"):
        SamplingParams(**{name: value})
    with pytest.raises(UnsupportedError, match=f"^--{name} is {value}; it must be "):
        PredictOptions(model_name_or_path="m", decode_strategy="sampling", **{name: value})


def test_bounds_are_allowed():
    bounds = {"top_p": 0.0, "temperature": 0.0, "repetition_penalty": 100.0, "seed": 0}
    SamplingParams(**bounds)
    PredictOptions(model_name_or_path="m", decode_strategy="sampling", **bounds)
