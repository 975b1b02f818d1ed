"""The head kept as something else than its floats, and embeddings in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward
from llm_kernels.weights import InputRounding, Int8Weight, RoundedInputs

IDS = np.array([3, 17, 5, 40, 22], np.int32)


def int8_head(dense: np.ndarray) -> RoundedInputs:
    weight = Int8Weight.from_dense(dense.astype(np.float32))
    return RoundedInputs(weight, InputRounding("int8_block"))


def logits(model: Any, weights: Callable[[ParameterKey], Any], **options: Any) -> np.ndarray:
    decoder = NativeDecoder(model.spec, model.sizes, weights, num_blocks=2, **options)
    count = len(IDS)
    rows = np.arange(count, dtype=np.int32)
    return decoder.step(
        StepBatch(
            token_ids=IDS,
            positions=rows,
            query_start=np.array([0, count], np.int32),
            context_length=np.array([count], np.int32),
            block_tables=np.zeros((1, 1), np.int32),
            logits_rows=rows,
        )
    )


# Untied, tied, and with rows of unit length.
@pytest.mark.parametrize("family", ["llama", "gpt2", "baichuan2-7b"])
def test_a_quantized_head_reads_the_same_states(
    random_model: Callable[..., Any], family: str
) -> None:
    model = random_model(family)
    found = logits(model, model.parameters.__getitem__, head=int8_head)
    exact = logits(model, model.parameters.__getitem__)
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()
    assert (found != exact).any()


def test_an_embedding_in_bfloat16_is_read_as_its_floats(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    halves = {
        key: value.astype(ml_dtypes.bfloat16) if value.ndim == 2 else value
        for key, value in model.parameters.items()
    }
    widened = {key: value.astype(np.float32) for key, value in halves.items()}
    found = logits(model, halves.__getitem__)
    np.testing.assert_array_equal(found, logits(model, widened.__getitem__))
    expected = forward(model.spec, model.sizes, widened, IDS)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_reference_rounds_inputs_too(random_model: Callable[..., Any]) -> None:
    """Every linear over int8 inputs, beside the reference decoder over the same weights."""
    model = random_model("llama")
    weights = {
        key: int8_head(value) if value.ndim == 2 and key.slot != "embed" else value
        for key, value in model.parameters.items()
    }
    expected = forward(model.spec, model.sizes, weights, IDS)
    found = logits(model, weights.__getitem__)
    # A last bit that rounds to another code is a step of 1 / 127 in one product.
    assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()
