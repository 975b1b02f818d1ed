"""Phases and admission."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from llm_infer.engine import SamplingParams
from llm_infer.errors import EngineStoppedError
from llm_serve.errors import ApiError
from llm_serve.model import ServedModel
from llm_serve.names import Variant
from llm_serve.state import Limits, ServerState

LONG = SamplingParams(max_new_tokens=90, ignore_eos=True)


def test_only_a_ready_server_has_a_model(model: ServedModel) -> None:
    state = ServerState("tiny", Limits(max_sequences=1))
    state.loading()
    with pytest.raises(ApiError, match="is loading since 0") as caught:
        state.model()
    assert caught.value.status == 503
    assert caught.value.headers() == {"Retry-After": "1"}
    state.ready(model)
    assert state.model() is model
    state.stopping()
    with pytest.raises(ApiError, match="is stopping since"):
        state.model()
    state.failed("out of luck")
    with pytest.raises(ApiError, match="The model cannot answer: out of luck"):
        state.model()


def test_names_other_than_the_models_are_refused(state: ServerState) -> None:
    assert state.variant("tiny") == Variant()
    with pytest.raises(ApiError, match="'gpt-4' does not exist; this server has 'tiny'"):
        state.variant("gpt-4")


def test_a_full_server_says_so_and_takes_more_when_work_ends(state: ServerState) -> None:
    async def main() -> None:
        model = state.model()
        async with AsyncExitStack() as stack:
            stack.enter_context(state.admitted(4))
            await stack.enter_async_context(state.generation(model, [[97]] * 2, LONG, 2))
            assert state.in_flight == 4
            with (
                pytest.raises(ApiError, match="4 of 6 sequences are running or waiting") as full,
                state.admitted(3),
            ):
                pass
            assert (full.value.status, full.value.retry_after) == (429, 1)
            with state.admitted(2):
                assert state.in_flight == 6
        assert state.in_flight == 0

    asyncio.run(main())


def test_a_request_that_never_fits_is_the_clients_mistake(state: ServerState) -> None:
    with (
        pytest.raises(ApiError, match=r"asks for 7 sequences.* takes 6 at a time") as caught,
        state.admitted(7),
    ):
        pass
    assert caught.value.status == 400


def test_running_generations_can_be_interrupted(state: ServerState, decoder: object) -> None:
    async def main() -> None:
        decoder.open.clear()
        async with state.generation(state.model(), [[97]], LONG, 1) as generation:
            state.interrupt(ApiError(503, "closing"))
            async for _ in generation:
                pass

    with pytest.raises(ApiError, match="closing"):
        asyncio.run(main())
    assert state.phase == "ready"


def test_an_engine_that_stopped_makes_the_server_failed(
    state: ServerState, decoder: object
) -> None:
    async def main() -> None:
        decoder.error = RuntimeError("bad memory")
        async with state.generation(state.model(), [[97]], LONG, 1) as generation:
            async for _ in generation:
                pass

    with pytest.raises(ApiError):
        asyncio.run(main())
    assert state.phase == "failed"
    assert "bad memory" in str(state.failure)


def test_an_engine_that_stopped_while_nobody_asked_makes_the_server_failed(
    state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = state.model().engine
    monkeypatch.setattr(engine._scheduler, "schedule", lambda: 1 / 0)
    with pytest.raises(EngineStoppedError):
        engine.step()
    assert state.phase == "failed"
    with pytest.raises(ApiError, match=r"The model cannot answer: .*ZeroDivisionError"):
        state.model()
