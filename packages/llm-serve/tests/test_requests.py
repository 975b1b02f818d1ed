"""Completions and chat, from the JSON of the request to the JSON of the answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from llm_infer.engine import Engine
from llm_serve.model import ServedModel
from llm_serve.state import ServerState

GREEDY = {"temperature": 0}


def complete(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/completions", json={**GREEDY, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    *lines, done, empty = answer.text.split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def texts(body: dict[str, Any]) -> list[str]:
    return [choice["text"] for choice in body["choices"]]


def test_one_prompt(client: httpx.Client) -> None:
    body = complete(client, model="tiny", prompt="xa", max_tokens=3)
    assert texts(body) == ["bcd"]
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_sixteen_tokens_by_default_and_all_that_fit_for_null(client: httpx.Client) -> None:
    assert texts(complete(client, prompt="!")) == ["\"#$%&'()*+,-./01"]
    everything = complete(client, prompt="!", max_tokens=None)["choices"][0]
    assert everything["text"].endswith("}~")
    assert everything["finish_reason"] == "stop"


def test_several_prompts_and_choices(client: httpx.Client) -> None:
    body = complete(client, prompt=["a", "m"], max_tokens=2, n=2)
    assert texts(body) == ["bc", "bc", "no", "no"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == 2


def test_token_ids(client: httpx.Client) -> None:
    assert texts(complete(client, prompt=[120, 97], max_tokens=2)) == ["bc"]
    assert texts(complete(client, prompt=[[97], [109]], max_tokens=2)) == ["bc", "no"]


def test_stop_strings(client: httpx.Client) -> None:
    body = complete(client, prompt="a", stop=["zz", "ef"])
    assert texts(body) == ["bcd"]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_text_of_special_tokens_in_a_prompt_stays_text(client: httpx.Client) -> None:
    usage = complete(client, prompt="<|bot|>", max_tokens=1)["usage"]
    assert usage["prompt_tokens"] == len("<|bot|>")


def test_a_stream_says_the_same_piece_by_piece(client: httpx.Client) -> None:
    ask = {"prompt": ["a", "m"], "max_tokens": 4, "stream": True, **GREEDY}
    answer = client.post("/v1/completions", json=ask)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = {0: "", 1: ""}
    ends = {}
    for chunk in events(answer):
        assert chunk["object"] == "text_completion"
        assert "usage" not in chunk
        (choice,) = chunk["choices"]
        found[choice["index"]] += choice["text"]
        ends[choice["index"]] = choice["finish_reason"]
    assert found == {0: "bcde", 1: "nopq"}
    assert ends == {0: "length", 1: "length"}


def test_a_stream_may_end_with_the_counts(client: httpx.Client) -> None:
    ask = {"prompt": "a", "max_tokens": 2, "stream": True, **GREEDY}
    answer = client.post("/v1/completions", json={**ask, "stream_options": {"include_usage": True}})
    *chunks, last = events(answer)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("stream", [False, True])
def test_mistakes_are_answered_with_their_status_streaming_or_not(
    client: httpx.Client, stream: bool
) -> None:
    ask = {"prompt": "a" * 90, "max_tokens": 20, "stream": stream}
    error = error_of(client.post("/v1/completions", json=ask))
    assert "90 prompt tokens and 20 new tokens make 110; at most 100 fit" in error["message"]
    assert error["code"] == "context_length_exceeded"
    error = error_of(client.post("/v1/completions", json={"prompt": ["a"] * 7, "stream": stream}))
    assert error["code"] == "too_many_sequences"


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        ({"prompt": ""}, "empty_prompt", "Prompt 0 is empty"),
        ({"prompt": ["a", ""]}, "empty_prompt", "Prompt 1 is empty"),
        ({"prompt": [999]}, "invalid_value", "token id 999"),
        ({"prompt": "a", "maxtokens": 1}, "unknown_parameter", "'max_tokens'"),
    ],
)
def test_other_mistakes(client: httpx.Client, body: object, code: str, part: str) -> None:
    error = error_of(client.post("/v1/completions", json=body))
    assert error["code"] == code
    assert part in error["message"]


def test_another_model_is_not_found(client: httpx.Client) -> None:
    answer = client.post("/v1/completions", json={"model": "gpt-4", "prompt": "a"})
    assert error_of(answer, 404)["code"] == "model_not_found"


NOT_JSON = {
    "cut": b"{",
    "not UTF-8": b"\xff\xfe",
    "UTF-8 of a surrogate": b'{"prompt":"\xed\xa0\x80"}',
    "empty": b"",
    "deep": b"[" * 200_000,
    "a surrogate": rb'{"prompt":"\ud800"}',
    "a surrogate in a name": rb'{"model":"\uDFFF","prompt":"a"}',
    "a surrogate as a key": rb'{"\udc00":"a"}',
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused(client: httpx.Client, content: bytes) -> None:
    error = error_of(client.post("/v1/completions", content=content))
    assert error["code"] == "invalid_json"


@pytest.mark.parametrize("depth", range(700, 1000, 50))
def test_a_deep_value_in_a_field_is_the_clients_mistake(client: httpx.Client, depth: int) -> None:
    content = b'{"n":' + b"[" * depth + b"]" * depth + b"}"
    error_of(client.post("/v1/completions", content=content))


def test_pairs_of_surrogates_are_text(client: httpx.Client) -> None:
    content = rb'{"prompt":"\ud83d\ude00","max_tokens":1}'
    answer = client.post("/v1/completions", content=content)
    assert answer.json()["usage"]["prompt_tokens"] == 4


def test_a_body_that_does_not_come_is_given_up(client: httpx.Client, state: ServerState) -> None:
    state.limits = replace(state.limits, body_timeout=0.1)
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=5) as connection:
        head = "POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head.encode() + b'{"prompt":')
        answer = b""
        while b"body_timeout" not in answer and (part := connection.recv(10_000)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"not there after 0.1 seconds" in answer


def test_a_text_that_cannot_fit_is_not_tokenized(
    client: httpx.Client, state: ServerState, model: ServedModel
) -> None:
    state.ready(replace(model, tokenizer=None))
    text = "a" * (100 * 128 + 1)
    error = error_of(client.post("/v1/completions", json={"prompt": ["a", text]}))
    assert error["code"] == "context_length_exceeded"
    assert "12801 characters does not fit in 100 tokens" in error["message"]
    ask = {"messages": [{"role": "user", "content": text}]}
    assert error_of(client.post("/v1/chat/completions", json=ask))["param"] == "messages"


def test_a_full_server_tokenizes_nothing(
    client: httpx.Client, state: ServerState, model: ServedModel
) -> None:
    state.ready(replace(model, tokenizer=None))
    with state.admitted(6):
        answer = client.post("/v1/completions", json={"prompt": "a"})
    assert error_of(answer, 429)["code"] == "server_full"


def test_values_that_openai_clients_send(client: httpx.Client) -> None:
    assert texts(complete(client, prompt="a", max_tokens=2, top_p=0, temperature=1)) == ["bc"]
    assert texts(complete(client, prompt="a", max_tokens=2, top_k=-1)) == ["bc"]
    samples = {
        seed: texts(complete(client, prompt="a", seed=seed, temperature=2, ignore_eos=True, n=2))
        for seed in (-(2**63), -1, 1, 2**63 - 1)
    }
    for seed, sample in samples.items():
        again = complete(client, prompt="a", seed=seed, temperature=2, ignore_eos=True, n=2)
        assert texts(again) == sample
    assert len({tuple(sample) for sample in samples.values()}) == 4


def test_a_body_that_is_too_large_is_not_read(client: httpx.Client, state: ServerState) -> None:
    state.limits = replace(state.limits, max_body_bytes=1000)
    error = error_of(client.post("/v1/completions", json={"prompt": "a" * 1000}), 413)
    assert "larger than 1000 bytes" in error["message"]


def test_chat(client: httpx.Client) -> None:
    ask = {"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 3, **GREEDY}
    answer = client.post("/v1/chat/completions", json=ask)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "ABC"}
    # "S", <|user|>, "h", "i", <|bot|>
    assert body["usage"]["prompt_tokens"] == 5


def test_chat_goes_on_until_the_end_token_without_a_limit(client: httpx.Client) -> None:
    ask = {"messages": [{"role": "user", "content": "hi"}], **GREEDY}
    choice = client.post("/v1/chat/completions", json=ask).json()["choices"][0]
    assert choice["message"]["content"] == "".join(map(chr, range(65, 127)))
    assert choice["finish_reason"] == "stop"


def test_a_system_message_and_earlier_rounds_reach_the_model(client: httpx.Client) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "<|bot|>"},
    ]
    answer = client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1})
    # the template's four special tokens and the last message's text, letter by letter
    expected = len("be brief") + 1 + 1 + 1 + 1 + 1 + 1 + len("<|bot|>") + 1
    assert answer.json()["usage"]["prompt_tokens"] == expected


def test_chat_as_a_stream(client: httpx.Client) -> None:
    messages = [{"role": "user", "content": "hi"}]
    ask = {"messages": messages, "max_tokens": 3, "stream": True, **GREEDY}
    first, *chunks = events(client.post("/v1/chat/completions", json=ask))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(deltas) == "ABC"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_conversations_that_cannot_be_answered(client: httpx.Client) -> None:
    def refused(*roles: str) -> str:
        messages = [{"role": role, "content": "x"} for role in roles]
        answer = client.post("/v1/chat/completions", json={"messages": messages})
        error = error_of(answer)
        assert error["code"] == "invalid_conversation"
        return str(error["message"])

    assert "the role 'assistant', not 'user'" in refused("user", "assistant")
    assert "answers nothing" in refused("assistant", "user")
    assert "does not fit the chat template" in refused("user", "user")


def test_a_model_without_a_template_has_no_chat(
    client: httpx.Client, state: ServerState, model: ServedModel
) -> None:
    state.ready(replace(model, template=None))
    ask = {"messages": [{"role": "user", "content": "hi"}]}
    error = error_of(client.post("/v1/chat/completions", json=ask))
    assert "'tiny' has no chat template" in error["message"]
    assert error["code"] == "no_chat_template"


def hang_up(client: httpx.Client, ask: dict[str, Any]) -> None:
    if ask["stream"]:
        with client.stream("POST", "/v1/completions", json=ask) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
        return
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/completions", json=ask, timeout=0.2)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_frees_its_blocks(
    client: httpx.Client,
    engine: Engine,
    decoder: Any,
    state: ServerState,
    stream: bool,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    decoder.seconds = 0.02
    ask = {"prompt": "!", "max_tokens": 90, "ignore_eos": True, "stream": stream, **GREEDY}
    hang_up(client, ask)
    eventually(lambda: state.in_flight == 0)
    eventually(lambda: engine.stats().free_blocks == engine.stats().num_blocks)
    # 90 tokens take 1.8 seconds: far fewer were made.
    assert engine.stats().generated_tokens < 45


def test_a_client_that_hangs_up_while_it_sends_is_no_error(
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address) as connection:
        head = "POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head.encode() + b'{"prompt":')
    gone = 'llm_serve_requests_total{path="/v1/completions",status="499"} 1.0'
    eventually(lambda: gone in client.get("/metrics").text)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_fails_leaves_the_server_ready(
    client: httpx.Client, decoder: Any, state: ServerState, stream: bool
) -> None:
    decoder.poison = ord("c")
    ask = {"prompt": "a", "max_tokens": 8, "stream": stream, **GREEDY}
    answer = client.post("/v1/completions", json=ask)
    assert "The largest logit is nan" in answer.text
    assert "generation_failed" in answer.text
    assert texts(complete(client, prompt="m", max_tokens=2)) == ["no"]
    assert state.phase == "ready"
