"""Which experts the native decoder chooses where scores are equal, or no numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward

ROWS = 40  # more than one task's


def last_logits(model: Any, parameters: dict[ParameterKey, np.ndarray]) -> np.ndarray:
    decoder = NativeDecoder(
        model.spec, model.sizes, parameters.__getitem__, num_blocks=4, block_size=16, threads=2
    )
    count = np.arange(ROWS, dtype=np.int32)
    return decoder.step(
        StepBatch(
            token_ids=count,
            positions=count,
            query_start=np.array([0, ROWS], np.int32),
            context_length=np.array([ROWS], np.int32),
            block_tables=np.arange(4, dtype=np.int32)[None],
            logits_rows=count,
        )
    )


def with_slot(model: Any, slot: str, values: Callable[[np.ndarray], np.ndarray]) -> dict[Any, Any]:
    return {
        key: values(array.copy()) if key.slot == slot else array
        for key, array in model.parameters.items()
    }


@pytest.mark.parametrize("family", ["mixtral", "deepseek-v2", "deepseek-v3"])
def test_of_equal_experts_the_lower_index_is_chosen(
    random_model: Callable[..., Any], family: str
) -> None:
    model = random_model(family)
    equal = with_slot(model, "router", np.zeros_like)
    equal = {k: np.zeros_like(v) if k.slot == "router_correction" else v for k, v in equal.items()}
    expected = forward(model.spec, model.sizes, equal, np.arange(ROWS))
    np.testing.assert_allclose(last_logits(model, equal), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("expert", [0, 3])
def test_an_expert_whose_score_is_no_number_is_chosen_last(
    random_model: Callable[..., Any], expert: int
) -> None:
    model = random_model("deepseek-v3")

    def corrected(by: float) -> np.ndarray:
        def change(values: np.ndarray) -> np.ndarray:
            values[expert] = by
            return values

        return last_logits(model, with_slot(model, "router_correction", change))

    found = corrected(np.nan)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, corrected(np.nan))
    assert np.abs(found - corrected(10.0)).max() > 1e-3


def test_a_row_that_is_no_number_stays_none(random_model: Callable[..., Any]) -> None:
    model = random_model("mixtral")

    def change(table: np.ndarray) -> np.ndarray:
        table[7] = np.nan
        return table

    found = last_logits(model, with_slot(model, "embed", change))
    assert np.isnan(found[7:]).all()  # later rows attend to it
