"""A conversation as data: messages, and the rounds that they make.

A round is what was said up to an answer (one user message, or tool results) and the answer.
The last round may lack its answer: then the conversation is a question to the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_data.errors import RecordError

ROLES = ("system", "user", "assistant", "tool")
_ROLE_ALIASES = {"developer": "system", "human": "user", "gpt": "assistant", "bot": "assistant"}


@dataclass(frozen=True)
class Message:
    """One message. `extra`: further fields, such as tool_calls, handed to the template as is."""

    role: str
    content: str
    trained: bool = True
    """For an answer: whether training learns it."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The form that HF templates expect."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(frozen=True)
class Round:
    """What was asked and what was answered (None: nothing yet)."""

    asked: tuple[Message, ...]
    answer: Message | None


@dataclass(frozen=True)
class Conversation:
    """Messages in order, with what the record gives the template beside them."""

    system: str | None
    rounds: tuple[Round, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Any] | None = None

    def messages(self, *, rounds: int | None = None, answered: bool = True) -> list[dict[str, Any]]:
        """Messages of the first `rounds` rounds, the last one without its answer on request."""
        listed = [] if self.system is None else [{"role": "system", "content": self.system}]
        chosen = self.rounds[:rounds]
        for index, item in enumerate(chosen):
            listed += [message.as_dict() for message in item.asked]
            if item.answer is not None and (answered or index + 1 < len(chosen)):
                listed.append(item.answer.as_dict())
        return listed


def from_rounds(
    asked: Sequence[str],
    answers: Sequence[str],
    *,
    system: str | None = None,
    trained: Sequence[bool] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Conversation:
    """Conversation of plain rounds; `answers` may be one shorter than `asked` (a question)."""
    rounds = []
    for index, question in enumerate(asked):
        answer = None
        if index < len(answers):
            learn = True if trained is None else trained[index]
            answer = Message("assistant", answers[index], learn)
        rounds.append(Round((Message("user", question),), answer))
    return Conversation(system, tuple(rounds), dict(context or {}))


def from_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Conversation:
    """Conversation of `{"role", "content", ...}` messages.

    Raises RecordError for an unknown role, content that is no text, a system message that is not
    the first, or an answer to nothing.
    """
    system: str | None = None
    rounds: list[Round] = []
    asked: list[Message] = []
    for index, raw in enumerate(messages):
        message = _message(raw)
        if message.role == "system":
            if index:
                error = "a system message that is not the first"
                raise RecordError(error)
            system = message.content
        elif message.role == "assistant":
            if not asked:
                error = "an assistant message that answers nothing"
                raise RecordError(error)
            rounds.append(Round(tuple(asked), message))
            asked = []
        else:
            asked.append(message)
    if asked:
        rounds.append(Round(tuple(asked), None))
    if not rounds:
        error = "no user message"
        raise RecordError(error)
    return Conversation(system, tuple(rounds), dict(context or {}), tools)


def _message(raw: Mapping[str, Any]) -> Message:
    role = raw.get("role")
    role = _ROLE_ALIASES.get(str(role), role)
    if role not in ROLES:
        error = f"unknown role {role!r}"
        raise RecordError(error)
    content = raw.get("content")
    if content is None and raw.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        error = f"content of a {role} message is no text"
        raise RecordError(error)
    extra = {key: value for key, value in raw.items() if key not in ("role", "content", "label")}
    return Message(str(role), content, bool(raw.get("label", 1)), extra)
