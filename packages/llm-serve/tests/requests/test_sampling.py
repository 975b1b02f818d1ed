"""The fields that choose tokens, each by what it does to a decoder that counts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

C, Z = str(ord("c")), str(ord("z"))


def choice(client: httpx.Client, **body: Any) -> dict[str, Any]:
    ask = {"prompt": "a", "max_tokens": 4, "temperature": 0, **body}
    answer = client.post("/v1/completions", json=ask)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["choices"][0]
    return found


# The next letter has the logit 2, any other token one of 0 to 1, before a bias.
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "bcde"),
        ({"logit_bias": {Z: 100}}, "zzzz"),
        ({"logit_bias": {Z: 2.5}}, "zzzz"),
        ({"logit_bias": {Z: 2.5}, "presence_penalty": 2}, "z{|}"),
        ({"logit_bias": {Z: 2.5}, "frequency_penalty": 2}, "z{|}"),
        # One penalty of 2 leaves z first, two do not.
        ({"logit_bias": {Z: 4.1}, "presence_penalty": 2}, "zzzz"),
        ({"logit_bias": {Z: 4.1}, "frequency_penalty": 2}, "zz{|"),
        # A tenth of 100 is more than the next letter's 2, a tenth of 11 is not.
        ({"logit_bias": {Z: 100}, "repetition_penalty": 10}, "zzzz"),
        ({"logit_bias": {Z: 10}, "repetition_penalty": 10}, "z{|}"),
        ({"temperature": 2, "min_p": 1, "seed": 3}, "bcde"),
        ({"temperature": 2, "top_k": 1, "seed": 3}, "bcde"),
    ],
    ids=str,
)
def test_what_is_chosen(client: httpx.Client, fields: dict[str, Any], text: str) -> None:
    assert choice(client, **fields)["text"] == text


def test_without_min_p_the_samples_go_apart(client: httpx.Client) -> None:
    assert choice(client, temperature=2, seed=3, ignore_eos=True)["text"] != "bcde"


def test_a_stop_token_ends_the_answer_without_its_text(client: httpx.Client) -> None:
    ended = choice(client, stop_token_ids=[int(C), 9])
    assert (ended["text"], ended["finish_reason"]) == ("b", "stop")


def test_nothing_ends_an_answer_before_min_tokens(client: httpx.Client) -> None:
    assert choice(client, stop=["b", "e"], min_tokens=3)["text"] == "bcd"
    told = choice(client, stop_token_ids=[98], min_tokens=3, logprobs=0)["logprobs"]["tokens"]
    assert len(told) >= 3
    assert "b" not in told[:2]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"min_tokens": 5}, "min_tokens is 5, but max_tokens is 4"),
        ({"stop_token_ids": [260]}, "name the token id 260, but the model knows 0 to 259"),
        ({"stop_token_ids": [-1]}, "token id -1"),
        ({"logit_bias": {"260": 1}}, "token id 260"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_engine_refuses_is_a_sentence(
    client: httpx.Client, fields: dict[str, Any], part: str, stream: bool
) -> None:
    ask = {"prompt": "a", "max_tokens": 4, "stream": stream, **fields}
    answer = client.post("/v1/completions", json=ask)
    assert answer.status_code == 400
    assert part in answer.json()["error"]["message"]
