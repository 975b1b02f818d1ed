"""Values that make no sense are refused by name."""

from __future__ import annotations

import pytest

from llm_infer.engine.params import SamplingParams
from llm_infer.errors import SamplingError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 1.1}, "top_p is 1.1; it must be between 0.0 and 1.0"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": 1e-42}, "repetition_penalty is 1e-42; .* between 0.01 and 100"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "min_new_tokens is 4"),
        ({"seed": -1}, "seed"),
        ({"stop": ("a", "")}, "stop"),
    ],
)
def test_out_of_range(values, words):
    with pytest.raises(SamplingError, match=words):
        SamplingParams(**values)
