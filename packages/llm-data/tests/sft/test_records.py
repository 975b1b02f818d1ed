"""All forms of a record become one kind of conversation."""

from __future__ import annotations

from typing import Any

import pytest

from llm_data.errors import RecordError
from llm_data.sft import parse_record


def _flat(record: dict[str, Any]) -> list[tuple[str, str, bool]]:
    conversation = parse_record(record)
    rounds: list[tuple[str, str, bool]] = []
    for item in conversation.rounds:
        assert item.answer is not None
        asked = "|".join(message.content for message in item.asked)
        rounds.append((asked, item.answer.content, item.answer.trained))
    return rounds


def test_forms() -> None:
    assert _flat({"src": "a", "tgt": "b"}) == [("a", "b", True)]
    pairs = {"src": ["a", "c"], "tgt": ["b", "d"]}
    assert _flat(pairs) == [("a", "b", True), ("c", "d", True)]
    assert _flat({**pairs, "label": [0, 1]}) == [("a", "b", False), ("c", "d", True)]
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}], "label": 0},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": "b"},
    ]
    assert _flat({"messages": messages}) == [("a", "", False), ("r", "b", True)]


def test_the_context_may_name_the_system_message() -> None:
    pair = {"src": "a", "tgt": "b"}
    assert parse_record({**pair, "context": {"system": "s"}}).system == "s"
    assert parse_record({**pair, "context": {"system": "s"}, "system": "t"}).system == "t"


@pytest.mark.parametrize(("field", "meant"), [("systme", "system"), ("lable", "label")])
def test_misspelt_fields_are_refused_and_others_left_alone(field: str, meant: str) -> None:
    pair = {"src": "a", "tgt": "b"}
    with pytest.raises(RecordError, match=f"unknown field '{field}', which is nearly '{meant}'"):
        parse_record({**pair, field: "x"})
    assert parse_record({**pair, "id": 7, "source": "web"}).system is None


def test_what_comes_beside() -> None:
    one = parse_record({"system": "s", "src": "a", "tgt": "b", "context": {"k": 1}})
    assert one.system == "s"
    assert one.context == {"k": 1}
    tools = [{"name": "f"}]
    two = parse_record(
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
            ],
            "tools": tools,
        }
    )
    assert two.tools == tools
    assert two.messages() == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"src": "a"}, "missing key 'tgt'"),
        ({"src": 1, "tgt": "b"}, "src is neither a text nor a list of texts"),
        ({"src": [], "tgt": []}, "src is neither a text nor a list of texts"),
        ({"src": ["a"], "tgt": ["b", "c"]}, "src and tgt have different numbers of rounds"),
        ({"src": "a", "tgt": " "}, "empty tgt"),
        ({"src": "a", "tgt": "b", "label": [1, 1]}, "label is no list of 0 or 1, one a round"),
        ({"src": "a", "tgt": "b", "label": [2]}, "label is no list of 0 or 1, one a round"),
        ({"src": "a", "tgt": "b", "label": [0]}, "label trains no round"),
        ({"src": "a", "tgt": "b", "context": "x"}, "context is no object"),
        ({"src": "a", "tgt": "b", "system": 3}, "system is no text"),
        ({"messages": "x"}, "messages is no list of objects"),
        ({"messages": []}, "no user message"),
        ({"messages": [{"role": "user", "content": "a"}]}, "the last message is no answer"),
        ({"messages": [{"role": "king", "content": "a"}]}, "unknown role 'king'"),
        ({"messages": [{"role": "user", "content": [1]}]}, "content of a user message is no text"),
        (
            {"messages": [{"role": "assistant", "content": "a"}]},
            "an assistant message that answers nothing",
        ),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "s"}]},
            "a system message that is not the first",
        ),
    ],
)
def test_reasons(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_record(record)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "record",
    [
        {"src": "a\ud83d", "tgt": "b"},
        {"src": "a", "tgt": ["\udc00"]},
        {"messages": [{"role": "user", "content": "\ud83d"}]},
    ],
)
def test_half_of_a_surrogate_pair(record: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="half of a surrogate pair"):
        parse_record(record)
