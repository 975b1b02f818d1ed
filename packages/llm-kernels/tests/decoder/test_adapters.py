"""Low-rank adapters beside the linears, one for each sequence of a step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.errors import ShapeError
from llm_kernels.families import ParameterKey
from llm_kernels.native import runnable_isas
from llm_kernels.reference_decoder import forward

SLOTS = ("q", "k", "v", "out", "gate", "up", "down")


@pytest.fixture(params=runnable_isas())
def isa(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def int32(values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def decoder_of(model: Any, isa: str) -> NativeDecoder:
    return NativeDecoder(
        model.spec,
        model.sizes,
        model.parameters.__getitem__,
        num_blocks=8,
        block_size=16,
        isa=isa,
    )


@pytest.fixture
def made(
    random_model: Callable[..., Any], isa: str
) -> tuple[Any, NativeDecoder, list[dict[Any, Any]]]:
    """A model, its decoder with two adapters, and each adapter's weights as sums."""
    model = random_model("llama")
    decoder = decoder_of(model, isa)
    random = np.random.default_rng(5)
    sums: list[dict[Any, Any]] = []
    for number, rank in enumerate((3, 8)):
        summed = dict(model.parameters)
        # The second adapter leaves some linears alone.
        for slot in SLOTS[number:]:
            for layer in range(model.sizes.layers):
                key = ParameterKey(slot, layer)
                rows, columns = model.parameters[key].shape
                a = random.standard_normal((rank, columns)).astype(np.float32) * 0.2
                b = random.standard_normal((rank, rows)).astype(np.float32) * 0.2
                decoder.add_adapter(number, key, a, b)
                summed[key] = model.parameters[key] + b.T @ a
        sums.append(summed)
    return model, decoder, sums


def test_each_sequence_has_its_own(made: tuple[Any, NativeDecoder, list[dict[Any, Any]]]) -> None:
    model, decoder, sums = made
    prompts = [[3, 1, 4, 1], [5, 9, 2], [6, 5], [3, 5, 8, 9, 7]]
    chosen = [1, -1, 0, 1]
    starts = np.cumsum([0, *map(len, prompts)])
    logits = decoder.step(
        StepBatch(
            token_ids=int32([token for prompt in prompts for token in prompt]),
            positions=int32([i for prompt in prompts for i in range(len(prompt))]),
            query_start=int32(starts),
            context_length=int32([len(prompt) for prompt in prompts]),
            block_tables=int32([[0], [1], [2], [3]]),
            logits_rows=int32(starts[1:] - 1),
            adapters=int32(chosen),
        )
    )
    for row, (prompt, number) in enumerate(zip(prompts, chosen, strict=True)):
        weights = model.parameters if number < 0 else sums[number]
        expected = forward(model.spec, model.sizes, weights, prompt)[-1]
        np.testing.assert_allclose(logits[row], expected, rtol=1e-3, atol=1e-3)


def one_sequence(adapter: int | None = None) -> StepBatch:
    return StepBatch(
        token_ids=int32([7, 8]),
        positions=int32([0, 1]),
        query_start=int32([0, 2]),
        context_length=int32([2]),
        block_tables=int32([[0]]),
        logits_rows=int32([1]),
        adapters=None if adapter is None else int32([adapter]),
    )


def test_a_row_does_not_depend_on_the_rows_beside_it(
    made: tuple[Any, NativeDecoder, list[dict[Any, Any]]],
) -> None:
    """More rows than one tile, and those of another adapter in between."""
    _, decoder, _ = made
    alone = [decoder.step(one_sequence(number))[0] for number in (0, 1)]
    sequences = 8
    chosen = [0, 1, 0, 0, 1, 0, 0, 0]  # adapter 0 has 12 rows
    together = decoder.step(
        StepBatch(
            token_ids=int32([7, 8] * sequences),
            positions=int32([0, 1] * sequences),
            query_start=int32(range(0, 2 * sequences + 1, 2)),
            context_length=int32([2] * sequences),
            block_tables=int32(range(sequences)).reshape(-1, 1),
            logits_rows=int32(range(1, 2 * sequences, 2)),
            adapters=int32(chosen),
        )
    )
    for row, number in zip(together, chosen, strict=True):
        np.testing.assert_array_equal(row, alone[number])


def test_a_step_has_those_that_it_names_alone(
    made: tuple[Any, NativeDecoder, list[dict[Any, Any]]], isa: str
) -> None:
    model, decoder, _ = made
    plain = decoder_of(model, isa)
    wanted = plain.step(one_sequence())
    np.testing.assert_array_equal(decoder.step(one_sequence()), wanted)
    changed = decoder.step(one_sequence(0))
    np.testing.assert_array_equal(decoder.step(one_sequence()), wanted)
    np.testing.assert_array_equal(decoder.step(one_sequence(-1)), wanted)
    assert np.abs(changed - wanted).max() > 1e-3


@pytest.mark.parametrize("number", [2, -2, 2**31 - 1])
def test_a_number_that_was_never_added_is_refused(
    made: tuple[Any, NativeDecoder, list[dict[Any, Any]]], number: int
) -> None:
    _, decoder, _ = made
    with pytest.raises(ShapeError, match=rf"adapters\[0\] is {number}, which was never added"):
        decoder.step(one_sequence(number))
    batch = one_sequence()
    batch.adapters = int32([0, 0])
    with pytest.raises(ShapeError, match=r"adapters has shape \[2\]"):
        decoder.step(batch)


def test_adapters_are_added_while_another_thread_steps(
    made: tuple[Any, NativeDecoder, list[dict[Any, Any]]],
) -> None:
    model, decoder, _ = made
    wanted = decoder.step(one_sequence(0))
    a = np.ones((8, model.sizes.hidden), np.float32)
    b = np.ones((8, model.sizes.heads * model.sizes.head_dim), np.float32)
    with ThreadPoolExecutor(1) as other:
        adding = other.submit(
            lambda: [decoder.add_adapter(2 + i, ParameterKey("q", 0), a, b) for i in range(500)]
        )
        while not adding.done():
            np.testing.assert_array_equal(decoder.step(one_sequence(0)), wanted)
        adding.result()
    assert np.isfinite(decoder.step(one_sequence(501))).all()


def test_what_does_not_fit_is_refused(
    made: tuple[Any, NativeDecoder, list[dict[Any, Any]]], random_model: Callable[..., Any]
) -> None:
    model, decoder, _ = made
    a = np.zeros((2, model.sizes.hidden), np.float32)
    b = np.zeros((2, model.sizes.heads * model.sizes.head_dim), np.float32)
    with pytest.raises(ShapeError, match="no layer 9"):
        decoder.add_adapter(0, ParameterKey("q", 9), a, b)
    with pytest.raises(ShapeError, match="no linear router"):
        decoder.add_adapter(0, ParameterKey("router", 0), a, b)
    with pytest.raises(ShapeError, match="a has"):
        decoder.add_adapter(0, ParameterKey("q", 0), a[:, 1:].copy(), b)
    with pytest.raises(ShapeError, match="number is -1"):
        decoder.add_adapter(-1, ParameterKey("q", 0), a, b)
    with pytest.raises(ShapeError, match="an expert's"):
        decoder.add_adapter(0, ParameterKey("expert_up", 0, 1), a, b)
