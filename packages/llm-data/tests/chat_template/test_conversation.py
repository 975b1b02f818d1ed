"""Messages to rounds and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_data.chat_template import Conversation, from_messages, from_rounds

ASKED = st.lists(st.sampled_from(["user", "tool"]), min_size=1, max_size=3)


@given(rounds=st.lists(ASKED, min_size=1, max_size=4), open_end=st.booleans())
def test_messages_come_back(rounds: list[list[str]], open_end: bool) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "s"}]
    for number, roles in enumerate(rounds):
        messages += [{"role": role, "content": f"q{number}"} for role in roles]
        messages.append({"role": "assistant", "content": f"a{number}"})
    if open_end:
        messages.pop()
    conversation = from_messages(messages)
    assert conversation.messages() == messages
    assert len(conversation.rounds) == len(rounds)
    assert (conversation.rounds[-1].answer is None) == open_end
    shorter = conversation.messages(answered=False)
    assert shorter == (messages if open_end else messages[:-1])


def test_rounds_and_their_beginnings() -> None:
    conversation: Conversation = from_rounds(["a", "b"], ["c"])
    assert [item.answer is None for item in conversation.rounds] == [False, True]
    assert conversation.messages(rounds=1) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "c"},
    ]


def test_role_aliases_and_labels() -> None:
    conversation = from_messages(
        [{"role": "human", "content": "a"}, {"role": "gpt", "content": "b", "label": 0}]
    )
    answer = conversation.rounds[0].answer
    assert answer is not None
    assert (answer.role, answer.trained, dict(answer.extra)) == ("assistant", False, {})
