"""Log probabilities, whole and streaming, against the softmax of the decoder's own logits."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

ASK = {"prompt": "|", "max_tokens": 4, "temperature": 0}
HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0}
Rows = dict[str, list[float]]


@pytest.fixture
def expected(decoder: Any) -> Rows:
    """By character: the logprobs of whatever may follow it, the likeliest first."""
    found = {}
    for character in "|}~":
        ids = np.array([ord(character)])
        batch = SimpleNamespace(token_ids=ids, logits_rows=np.array([0]))
        logits = decoder.step(batch)[0].astype(np.float64)
        found[character] = sorted(logits - np.log(np.exp(logits).sum()), reverse=True)
    return found


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    *lines, done, empty = answer.text.split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines]


def test_a_completion(client: httpx.Client, expected: Rows) -> None:
    body = client.post("/v1/completions", json={**ASK, "logprobs": 2}).json()
    choice = body["choices"][0]
    told = choice["logprobs"]
    assert (choice["text"], body["usage"]["completion_tokens"]) == ("}~", 3)
    assert told["tokens"] == ["}", "~", "<|endoftext|>"]
    assert told["text_offset"] == [0, 1, 2]
    rows = [expected[character] for character in "|}~"]
    np.testing.assert_allclose(told["token_logprobs"], [row[0] for row in rows])
    for top, row in zip(told["top_logprobs"], rows, strict=True):
        # Greedy: the token that was chosen is one of the two.
        np.testing.assert_allclose(list(top.values()), row[:2])


def test_a_chat(client: httpx.Client) -> None:
    path = "/v1/chat/completions"
    body = client.post(path, json={**HI, "logprobs": True, "top_logprobs": 3}).json()
    content = body["choices"][0]["logprobs"]["content"]
    assert [(one["token"], one["bytes"]) for one in content] == [("A", [65]), ("B", [66])]
    for one in content:
        assert set(one) == {"token", "logprob", "bytes", "top_logprobs"}
        first, *rest = one["top_logprobs"]
        assert first == {key: one[key] for key in ("token", "logprob", "bytes")}
        assert len(rest) == 2
        assert one["logprob"] > rest[0]["logprob"] >= rest[1]["logprob"]
    plain = client.post(path, json={**HI, "logprobs": True}).json()
    assert [one["top_logprobs"] for one in plain["choices"][0]["logprobs"]["content"]] == [[], []]
    assert client.post(path, json=HI).json()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_a_stream_tells_the_same_token_by_token(client: httpx.Client, path: str) -> None:
    # A text that may be a stop is held back: its tokens are told before it.
    ask: dict[str, Any] = {**HI, "max_tokens": 9, "stop": ["EF"]}
    if path == "completions":
        del ask["messages"]
        ask |= {"prompt": "@", "logprobs": 1}
    else:
        ask |= {"logprobs": True, "top_logprobs": 1}
    whole = client.post(f"/v1/{path}", json=ask).json()["choices"][0]
    joined: dict[str, list[Any]] = {}
    for chunk in chunks(client.post(f"/v1/{path}", json={**ask, "stream": True})):
        for key, values in (chunk["logprobs"] or {}).items():
            if values is not None:
                joined.setdefault(key, []).extend(values)
    assert joined == {key: value for key, value in whole["logprobs"].items() if value is not None}
    assert len(next(iter(joined.values()))) == 6
    text = whole["text"] if path == "completions" else whole["message"]["content"]
    assert text == "ABCD"


def test_each_choice_has_its_own_offsets(client: httpx.Client) -> None:
    ask = {**ASK, "prompt": ["a", "m"], "n": 2, "logprobs": 0}
    choices = client.post("/v1/completions", json=ask).json()["choices"]
    assert [choice["logprobs"]["text_offset"] for choice in choices] == [[0, 1, 2, 3]] * 4
    for choice in choices:
        told = choice["logprobs"]
        assert "".join(told["tokens"]) == choice["text"]
        # Zero alternatives: the token itself is told.
        pairs = zip(told["tokens"], told["token_logprobs"], strict=True)
        assert told["top_logprobs"] == [{token: value} for token, value in pairs]


def test_half_characters_are_told_by_their_bytes(client: httpx.Client) -> None:
    half = {"logit_bias": {"195": 100}}
    body = client.post("/v1/completions", json={**ASK, **half, "logprobs": 0}).json()
    assert body["choices"][0]["logprobs"]["tokens"] == ["bytes:\\xc3"] * 4
    body = client.post("/v1/chat/completions", json={**HI, **half, "logprobs": True}).json()
    one = body["choices"][0]["logprobs"]["content"][0]
    assert (one["token"], one["bytes"]) == ("\\xc3", [195])


@pytest.mark.parametrize("prompt", ["|}", [124, 125]])
def test_an_echo_tells_the_prompts_tokens_too(
    client: httpx.Client, expected: Rows, prompt: Any
) -> None:
    ask = {**ASK, "prompt": prompt, "echo": True, "logprobs": 1}
    body = client.post("/v1/completions", json=ask).json()
    choice = body["choices"][0]
    assert choice["text"] == "|}~"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    told = choice["logprobs"]
    assert told["tokens"] == ["|", "}", "~", "<|endoftext|>"]
    assert told["text_offset"] == [0, 1, 2, 3]
    assert (told["token_logprobs"][0], told["top_logprobs"][0]) == (None, None)
    likeliest = [expected[character][0] for character in "|}~"]
    np.testing.assert_allclose(told["token_logprobs"][1:], likeliest)
    assert [list(top) for top in told["top_logprobs"][1:]] == [["}"], ["~"], ["<|endoftext|>"]]
    parts = chunks(client.post("/v1/completions", json={**ask, "stream": True}))
    assert "".join(part["text"] for part in parts) == "|}~"
    streamed = [one for part in parts for one in (part["logprobs"] or {"tokens": []})["tokens"]]
    assert streamed == told["tokens"]


def test_an_echo_of_several_prompts(client: httpx.Client) -> None:
    ask = {**ASK, "prompt": ["ab", "é"], "n": 2, "max_tokens": 1, "echo": True}
    choices = client.post("/v1/completions", json=ask).json()["choices"]
    assert [choice["text"] for choice in choices[:2]] == ["abc"] * 2
    assert all(choice["text"].startswith("é") for choice in choices[2:])
    assert all(choice["logprobs"] is None for choice in choices)
    told = client.post("/v1/completions", json={**ask, "logprobs": 0}).json()["choices"]
    assert [len(choice["logprobs"]["tokens"]) for choice in told] == [3] * 4
