"""One JSON object to one conversation, in any of the three forms that are in use.

- `{"src": text or [text, ...], "tgt": text or [...], "context"?: {...}}` (PaddleNLP)
- the same with `"system"?: text` and `"label"?: [0, 1, ...]`, whether each round is learnt
- `{"messages": [{"role", "content"}, ...], "tools"?: [...]}`; `"label"` may sit in a message

`context` is for the template; its `system` is the system message where the record names no other.
A field that is nearly one of these is refused: misspelt, it would silently change the training.
Others, such as an id, are left alone.
Each RecordError says the reason alone, so that equal reasons can be counted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from llm_data.chat_template.conversation import Conversation, from_messages, from_rounds
from llm_data.errors import RecordError

_FIELDS = ("src", "tgt", "context", "system", "label", "messages", "tools")
_NEARLY = 0.75
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_record(record: Mapping[str, Any]) -> Conversation:
    """The conversation of one record, every round answered. Raises RecordError with the reason."""
    _check_unicode(record)
    _check_fields(record)
    context = record.get("context") or {}
    if not isinstance(context, dict):
        _refuse("context is no object")
    conversation = (
        _from_messages(record, context) if "messages" in record else _pairs(record, context)
    )
    if conversation.rounds[-1].answer is None:
        _refuse("the last message is no answer")
    if not any(item.answer is not None and item.answer.trained for item in conversation.rounds):
        _refuse("label trains no round")
    return conversation


def _from_messages(record: Mapping[str, Any], context: dict[str, Any]) -> Conversation:
    messages, tools = record["messages"], record.get("tools")
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        _refuse("messages is no list of objects")
    return from_messages(messages, tools=tools, context=context)


def _pairs(record: Mapping[str, Any], context: dict[str, Any]) -> Conversation:
    for key in ("src", "tgt"):
        if key not in record:
            _refuse(f"missing key {key!r}")
    asked, answers = _texts(record["src"], "src"), _texts(record["tgt"], "tgt")
    if len(asked) != len(answers):
        _refuse("src and tgt have different numbers of rounds")
    if not any(text.strip() for text in answers):
        _refuse("empty tgt")
    system = record.get("system") or context.get("system")
    if not isinstance(system, str | None):
        _refuse("system is no text")
    label = record.get("label")
    if label is not None:
        whole = isinstance(label, list) and len(label) == len(answers)
        if not whole or any(value not in (0, 1) for value in label):
            _refuse("label is no list of 0 or 1, one a round")
        label = [bool(value) for value in label]
    return from_rounds(asked, answers, system=system or None, trained=label, context=context)


def _check_fields(record: Mapping[str, Any]) -> None:
    for key in record:
        near = [] if key in _FIELDS else difflib.get_close_matches(key, _FIELDS, 1, _NEARLY)
        if near and near[0] not in record:
            _refuse(f"unknown field {key!r}, which is nearly {near[0]!r}")


def _texts(value: object, key: str) -> list[str]:
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        _refuse(f"{key} is neither a text nor a list of texts")
    return texts


def _check_unicode(value: object) -> None:
    """JSON can spell half of a surrogate pair, which no tokenizer takes."""
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            _refuse("half of a surrogate pair")
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_unicode(item)
    elif isinstance(value, list):
        for item in value:
            _check_unicode(item)


def _refuse(reason: str) -> NoReturn:
    raise RecordError(reason)
