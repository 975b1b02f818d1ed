"""Generations: pieces in order, sequences always given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from llm_infer.engine import Engine, SamplingParams
from llm_serve.errors import ApiError
from llm_serve.generation import ENGINE_STOPPED, Generation

GREEDY = SamplingParams(max_new_tokens=4)


async def collect(generation: Generation) -> tuple[dict[int, str], dict[int, str | None]]:
    texts: dict[int, str] = {}
    finishes: dict[int, str | None] = {}
    async with generation:
        async for piece in generation:
            assert finishes.get(piece.index) is None, "a piece after the end"
            texts[piece.index] = texts.get(piece.index, "") + piece.text
            finishes[piece.index] = piece.finish
    return texts, finishes


def run(engine: Engine, prompts: list[str], params: SamplingParams, **more: object) -> object:
    async def main() -> object:
        ids = [list(prompt.encode()) for prompt in prompts]
        generation = Generation(engine, ids, params, **{"choices": 1, **more})
        return *(await collect(generation)), generation

    return asyncio.run(main())


def test_choices_are_numbered_prompt_by_prompt(engine: Engine) -> None:
    texts, finishes, generation = run(engine, ["a", "mn"], GREEDY, choices=2)
    assert texts == {0: "bcde", 1: "bcde", 2: "opqr", 3: "opqr"}
    assert set(finishes.values()) == {"length"}
    assert generation.usage.prompt_tokens == 3
    assert generation.usage.completion_tokens == 16
    assert 0 < generation.first_token_seconds <= generation.seconds()


def test_the_end_token_and_stop_strings_finish_with_stop(engine: Engine) -> None:
    texts, finishes, _ = run(engine, ["{"], SamplingParams())
    assert (texts, finishes) == ({0: "|}~"}, {0: "stop"})
    texts, finishes, _ = run(engine, ["a"], SamplingParams(stop=("ef", "d!")))
    assert (texts, finishes) == ({0: "bcd"}, {0: "stop"})


def test_a_seed_repeats_and_choices_differ(engine: Engine) -> None:
    params = SamplingParams(max_new_tokens=8, temperature=2.0, seed=2**63 - 1)
    first, _, _ = run(engine, ["a"], params, choices=3)
    again, _, _ = run(engine, ["a"], params, choices=3)
    assert first == again
    assert len(set(first.values())) == 3


def test_leaving_early_gives_every_block_back(
    engine: Engine, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    async def main() -> None:
        params = SamplingParams(max_new_tokens=90, ignore_eos=True)
        async with Generation(engine, [[97]] * 3, params, choices=2) as generation:
            async for _ in generation:
                break

    asyncio.run(main())
    eventually(lambda: engine.stats().running == engine.stats().waiting == 0)
    assert engine.stats().free_blocks == engine.stats().num_blocks


def test_the_deadline_ends_the_request(
    engine: Engine, decoder: object, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    decoder.open.clear()
    with pytest.raises(ApiError, match=r"not complete after 0\.05 seconds") as caught:
        run(engine, ["a"], GREEDY, deadline=0.05)
    assert (caught.value.status, caught.value.code) == (504, "timeout")
    decoder.open.set()
    eventually(lambda: not engine.has_work)


def test_what_the_engine_refuses_is_the_clients_mistake(engine: Engine) -> None:
    with pytest.raises(ApiError, match=r"1 prompt token and 100 new tokens make 101") as caught:
        run(engine, ["a"], SamplingParams(max_new_tokens=100))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
    assert not engine.has_work


def test_a_later_prompt_that_is_refused_takes_the_earlier_ones_back(engine: Engine) -> None:
    async def main() -> None:
        async with Generation(engine, [[97], [VOCABULARY_END]], GREEDY, choices=1):
            pass

    with pytest.raises(ApiError, match="token id 260") as caught:
        asyncio.run(main())
    assert caught.value.status == 400
    engine.step()
    assert not engine.has_work


VOCABULARY_END = 260


def test_an_engine_that_fails_ends_the_stream(engine: Engine, decoder: object) -> None:
    decoder.error = RuntimeError("bad memory")
    with pytest.raises(ApiError, match="bad memory") as caught:
        run(engine, ["a"], GREEDY)
    assert (caught.value.status, caught.value.code) == (500, ENGINE_STOPPED)
    with pytest.raises(ApiError, match="bad memory"):
        run(engine, ["a"], GREEDY)


def test_a_generation_can_be_failed_from_outside(engine: Engine, decoder: object) -> None:
    async def main() -> None:
        decoder.open.clear()
        async with Generation(engine, [[97]], GREEDY, choices=1) as generation:
            asyncio.get_running_loop().call_later(0.01, generation.fail, ApiError(503, "closing"))
            async for _ in generation:
                pass

    with pytest.raises(ApiError, match="closing"):
        asyncio.run(main())
