"""Rotary frequencies that follow the length of a sequence, chosen for each sequence of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.errors import ShapeError
from llm_kernels.families import DynamicScaling, LongScaling
from llm_kernels.reference_decoder import KvCache, forward

TOKENS = np.array(
    [3, 40, 7, 7, 19, 0, 22, 31, 5, 11, 2, 38, 9, 1, 1, 25, 30, 8, 4, 4, 17], np.int32
)
TRAINED = 8
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "longrope": (
        "phi3",
        {"rope_scaling": LongScaling((1.0, 1.1, 1.2, 1.3), (1.5, 2.0, 3.0, 4.0), TRAINED, 1.2)},
    ),
    "dynamic": ("llama", {"rope_scaling": DynamicScaling(2.0, TRAINED)}),
    "qwen": ("qwen", {"max_positions": TRAINED}),
}


@pytest.fixture(params=CHANGES.values(), ids=CHANGES.keys())
def model(request: pytest.FixtureRequest, random_model: Callable[..., Any]) -> Any:
    family, changes = request.param
    return random_model(family, seed=8, **changes)


def native(model: Any) -> NativeDecoder:
    return NativeDecoder(
        model.spec,
        model.sizes,
        model.parameters.__getitem__,
        num_blocks=6,
        block_size=16,
        threads=2,
    )


def batch(*spans: tuple[int, int], rope_length: Sequence[int] | None = None) -> StepBatch:
    """Sequence s has tokens [begin, end) of TOKENS and blocks of its own."""
    rows = [end - begin for begin, end in spans]
    return StepBatch(
        token_ids=np.concatenate([TOKENS[begin:end] for begin, end in spans]),
        positions=np.concatenate([np.arange(*span, dtype=np.int32) for span in spans]),
        query_start=np.cumsum([0, *rows]).astype(np.int32),
        context_length=np.array([end for _, end in spans], np.int32),
        block_tables=np.arange(2 * len(spans), dtype=np.int32).reshape(-1, 2),
        logits_rows=np.arange(sum(rows), dtype=np.int32),
        rope_length=None if rope_length is None else np.array(rope_length, np.int32),
    )


def check(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("length", [8, 9, 16, 17, 21])
def test_a_prompt_of_any_length_equals_the_reference(model: Any, length: int) -> None:
    expected = forward(model.spec, model.sizes, model.parameters, TOKENS[:length])
    check(native(model).step(batch((0, length))), expected)


def test_sequences_of_one_step_have_their_own_frequencies(model: Any) -> None:
    decoder = native(model)
    together = decoder.step(batch((0, 6), (0, 20), (0, 11)))
    for rows, length in ((slice(6), 6), (slice(6, 26), 20), (slice(26, 37), 11)):
        alone = native(model).step(batch((0, length)))
        np.testing.assert_array_equal(together[rows], alone)


def test_a_stated_length_makes_chunks_equal_to_the_whole(model: Any) -> None:
    whole = native(model).step(batch((0, 20)))
    decoder = native(model)
    spans = ((0, 5), (5, 12), (12, 13), (13, 20))
    chunks = [decoder.step(batch(span, rope_length=[20])) for span in spans]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_growing_past_the_trained_length_unstated_is_refused(model: Any) -> None:
    decoder = native(model)
    decoder.step(batch((0, TRAINED)))
    with pytest.raises(ShapeError, match=r"grows from 8 to 9; .* Pass rope_length"):
        decoder.step(batch((TRAINED, TRAINED + 1)))
    with pytest.raises(ShapeError, match=r"rope_length of sequence 0 is 0; it must be at least 1"):
        decoder.step(batch((8, 9), rope_length=[0]))
    decoder.step(batch((TRAINED, TRAINED + 1), rope_length=[TRAINED]))


def test_qwen_goes_on_with_the_frequencies_of_its_prompt(random_model: Callable[..., Any]) -> None:
    model = random_model("qwen", seed=9, max_positions=TRAINED)
    decoder, cache = native(model), KvCache()
    for span in ((0, 7), (7, 8), (8, 9), (9, 20)):
        expected = forward(
            model.spec, model.sizes, model.parameters, TOKENS[slice(*span)], cache=cache
        )
        check(decoder.step(batch(span, rope_length=[7])), expected)
