"""Requests: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import pytest

from llm_serve.errors import ApiError
from llm_serve.schema import ChatRequest, CompletionRequest, parse


def refused(kind: type, body: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(kind, body)
    assert caught.value.status == 400
    return caught.value


def test_defaults_are_those_of_the_openai_interface() -> None:
    request = parse(CompletionRequest, {"prompt": "hi"})
    assert (request.max_tokens, request.temperature, request.top_p, request.n) == (16, 1.0, 1.0, 1)
    assert request.stops() == []
    assert not request.include_usage()


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_every_form_of_a_prompt(prompt: object, prompts: object) -> None:
    assert parse(CompletionRequest, {"prompt": prompt}).prompts() == prompts


@pytest.mark.parametrize("prompt", [[], 5, ["a", 1], [[1], "a"], [True], [[True]], {"a": 1}])
def test_a_prompt_of_another_kind_is_refused(prompt: object) -> None:
    request = parse(CompletionRequest, {"prompt": prompt})
    with pytest.raises(ApiError, match="prompt must be a string, a list of strings"):
        request.prompts()


def test_null_means_left_out_except_for_max_tokens() -> None:
    body = {"prompt": "a", "temperature": None, "stop": None, "max_tokens": None, "seed": None}
    request = parse(CompletionRequest, body)
    assert request.temperature == 1.0
    assert request.max_tokens is None


def test_an_unknown_field_names_the_nearest() -> None:
    error = refused(CompletionRequest, {"prompt": "a", "max_token": 4})
    assert error.message == "Unknown field 'max_token'. Did you mean 'max_tokens'?"
    assert error.code == "unknown_parameter"
    assert "Did you" not in refused(CompletionRequest, {"prompt": "a", "zzz": 4}).message


def test_a_missing_field_is_named() -> None:
    assert refused(CompletionRequest, {}).message == "The field 'prompt' is required."


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("temperature", 3, "less than or equal to 2, got 3"),
        ("temperature", float("nan"), "got nan"),
        ("top_p", -0.1, "greater than or equal to 0, got -0.1"),
        ("top_k", -2, "greater than or equal to -1, got -2"),
        ("repetition_penalty", 1e-42, "greater than or equal to 0.01, got 1e-42"),
        ("n", 0, "greater than or equal to 1, got 0"),
        ("max_tokens", 0, "greater than or equal to 1, got 0"),
        ("max_tokens", "5", "valid integer, got '5'"),
        ("max_tokens", True, "valid integer, got True"),
        ("stream", "yes", "valid boolean, got 'yes'"),
        ("seed", 2**63, "less than 9223372036854775808"),
    ],
)
def test_a_value_out_of_range_says_value_and_limit(field: str, value: object, part: str) -> None:
    error = refused(CompletionRequest, {"prompt": "a", field: value})
    assert error.message.startswith(f"{field}: ")
    assert part in error.message
    assert error.param == field


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (CompletionRequest, "best_of", 3),
        (CompletionRequest, "suffix", "x"),
        (ChatRequest, "tools", [{}]),
        (ChatRequest, "response_format", {"type": "json_object"}),
        (ChatRequest, "tool_choice", "auto"),
    ],
)
def test_what_cannot_be_honoured_is_refused(kind: type, field: str, value: object) -> None:
    base = {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}
    needed = {key: base[key] for key in base if key in kind.model_fields}
    error = refused(kind, {**needed, field: value})
    assert "is not supported by this server" in error.message
    assert (error.param, error.code) == (field, "unsupported_parameter")


def test_fields_that_ask_for_nothing_are_accepted() -> None:
    neutral = {"echo": False, "best_of": 1, "presence_penalty": 0, "logit_bias": {}, "user": "me"}
    assert parse(CompletionRequest, {"prompt": "a", **neutral}).prompts() == ["a"]


@pytest.mark.parametrize("stop", ["", [""], [3], 5, ["a", ""]])
def test_a_stop_must_be_text(stop: object) -> None:
    with pytest.raises(ApiError, match="non-empty string"):
        parse(CompletionRequest, {"prompt": "a", "stop": stop}).stops()


def test_stops_are_counted() -> None:
    assert parse(CompletionRequest, {"prompt": "a", "stop": "x"}).stops() == ["x"]
    with pytest.raises(ApiError, match="17 strings; at most 16"):
        parse(CompletionRequest, {"prompt": "a", "stop": ["x"] * 17}).stops()


def test_a_body_that_is_no_object_is_refused() -> None:
    assert "must be a JSON object, got [1]" in refused(CompletionRequest, [1]).message


def test_a_message_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = parse(ChatRequest, {"messages": [{"role": "user", "content": parts}]})
    assert request.messages[0].text() == "ab"


def test_mistakes_inside_messages_say_where() -> None:
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    body = {"messages": [{"role": "user", "content": image}]}
    assert refused(ChatRequest, body).message.startswith("messages.0.content")
    body = {"messages": [{"role": "robot", "content": "a"}]}
    assert "messages.0.role" in refused(ChatRequest, body).message
    assert "messages" in refused(ChatRequest, {"messages": []}).message


def test_only_an_assistants_message_may_have_no_content() -> None:
    asked = {"role": "user", "content": "a"}
    silent = {"role": "assistant", "content": None}
    assert parse(ChatRequest, {"messages": [asked, silent, asked]}).messages[1].text() == ""
    for message in ({"role": "user", "content": None}, {"role": "system"}):
        error = refused(ChatRequest, {"messages": [asked, message]})
        assert error.message.startswith("messages.1: a message of the role")


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("min_p", 1.5, "less than or equal to 1, got 1.5"),
        ("presence_penalty", 3, "less than or equal to 2, got 3"),
        ("frequency_penalty", float("nan"), "got nan"),
        ("stop_token_ids", ["a"], "valid integer, got 'a'"),
        ("logit_bias", [1], "valid dictionary, got [1]"),
        ("min_tokens", -1, "greater than or equal to 0, got -1"),
    ],
)
def test_bounds_of_sampling(field: str, value: object, part: str) -> None:
    error = refused(CompletionRequest, {"prompt": "a", field: value})
    assert error.message.startswith(field)
    assert part in error.message


@pytest.mark.parametrize(
    ("biases", "part"),
    [
        ({"a": 1}, "logit_bias: 'a' is no token id."),
        ({"-1": 1}, "'-1' is no token id"),
        ({"\N{ARABIC-INDIC DIGIT ONE}": 1}, "is no token id"),
        ({"9" * 5000: 1}, "is no token id"),
        ({"5": 101}, "logit_bias of token 5 is 101.0; it must be between -100 and 100."),
        ({"5": float("nan")}, "token 5 is nan"),
    ],
)
def test_a_bias_is_of_a_token_and_bounded(biases: dict[str, float], part: str) -> None:
    request = parse(CompletionRequest, {"prompt": "a", "logit_bias": biases})
    with pytest.raises(ApiError) as caught:
        request.biases()
    assert part in caught.value.message
    assert caught.value.param == "logit_bias"


def test_how_many_logprobs_are_told() -> None:
    base = {"messages": [{"role": "user", "content": "a"}]}

    def told(**fields: object) -> int | None:
        return parse(ChatRequest, {**base, **fields}).logprobs_wanted()

    assert told() is told(logprobs=False) is told(logprobs=None) is None
    assert told(logprobs=True) == 0
    assert told(logprobs=True, top_logprobs=4) == 4
    with pytest.raises(ApiError, match="top_logprobs is 4, but logprobs is not true"):
        told(top_logprobs=4)
    assert parse(CompletionRequest, {"prompt": "a", "logprobs": 3}).logprobs_wanted() == 3
    assert "20, got 21" in refused(CompletionRequest, {"prompt": "a", "logprobs": 21}).message
    assert "20, got 21" in refused(ChatRequest, {**base, "top_logprobs": 21}).message
    assert "boolean, got 1" in refused(ChatRequest, {**base, "logprobs": 1}).message
