"""What is counted."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from llm_serve.app import create_app
from llm_serve.state import Limits, ServerState


def read(client: httpx.Client) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_tokens_requests_and_blocks_are_counted(
    client: httpx.Client, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client.post("/v1/completions", json={"prompt": "abc", "max_tokens": 4, "temperature": 0})
    client.post("/v1/completions", json={"prompt": 3})
    client.get("/nowhere")
    client.get("/v1/models/other")
    # An answer is counted once it is on its way.
    eventually(lambda: "llm_serve_requests_total,/v1/models/{name:path},404" in read(client))
    found = read(client)
    assert found["llm_serve_prompt_tokens_total"] == 3
    assert found["llm_serve_generated_tokens_total"] == 4
    assert found["llm_serve_requests_total,/v1/completions,200"] == 1
    assert found["llm_serve_requests_total,/v1/completions,400"] == 1
    assert found["llm_serve_requests_total,/v1/models/{name:path},404"] == 1
    assert found["llm_serve_requests_total,other,404"] == 1
    assert found["llm_serve_time_to_first_token_seconds_count"] == 1
    assert found["llm_serve_generation_seconds_count"] == 1
    assert found["llm_serve_kv_blocks,free"] == 32
    assert found["llm_serve_kv_blocks,used"] == 0
    assert found["llm_serve_engine_sequences,running"] == 0
    assert found["llm_serve_ready"] == 1
    assert found["llm_serve_sequences_in_flight"] == 0
    assert found["llm_serve_engine_preemptions_total"] == 0


def test_a_server_that_loads_has_no_engine_to_speak_of(
    serve: Callable[[FastAPI], httpx.Client],
) -> None:
    found = read(serve(create_app(ServerState("tiny", Limits(max_sequences=1)))))
    assert found["llm_serve_ready"] == 0
    assert not any(name.startswith("llm_serve_kv_blocks") for name in found)
