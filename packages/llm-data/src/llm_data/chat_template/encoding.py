"""Rendered conversations to ids, part by part, so that user text cannot forge special tokens.

Before rendering, a noncharacter is put inside every special token that a message spells out;
after rendering only the template's own special tokens match, and the noncharacter is taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from llm_data.chat_template.conversation import Conversation, Message, Round
from llm_data.chat_template.interface import ChatTemplate
from llm_data.tokenizer.interface import Tokenizer

_GUARD = "\ufdd0"


@dataclass(frozen=True)
class EncodedRounds:
    """Ids of the parts of a conversation."""

    system: list[int]
    rounds: tuple[tuple[list[int], list[int]], ...]
    """(asked, answer) of each round; the answer is empty for a question."""


def encode_conversation(
    template: ChatTemplate,
    conversation: Conversation,
    tokenizer: Tokenizer,
    *,
    is_training: bool = True,
) -> EncodedRounds:
    """Ids of the conversation in parts. Raises ChatTemplateError when the template refuses it."""
    pattern = special_pattern(tokenizer)
    text = template.render(_guarded(conversation, pattern), is_training=is_training)
    encode = _PartEncoder(tokenizer, pattern)
    rounds = tuple((encode(asked), encode(answer or "")) for asked, answer in text.rounds)
    return EncodedRounds(encode(text.system), rounds)


def encode_prompt(
    template: ChatTemplate, conversation: Conversation, tokenizer: Tokenizer
) -> list[int]:
    """Ids of the question that the conversation ends with, and of all that came before it."""
    parts = encode_conversation(template, conversation, tokenizer, is_training=False)
    ids = list(parts.system)
    for asked, answer in parts.rounds:
        ids += asked + answer
    return ids


def special_pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches every special token, the longest first."""
    longest_first = sorted(tokenizer.special_tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


@dataclass(frozen=True)
class _PartEncoder:
    tokenizer: Tokenizer
    pattern: re.Pattern[str]

    def __call__(self, text: str) -> list[int]:
        if not text:
            return []
        if _GUARD not in text:
            return self.tokenizer.encode(text, parse_special=True)
        ids: list[int] = []
        position = 0
        for match in self.pattern.finditer(text):
            ids += self._plain(text[position : match.start()])
            ids.append(self.tokenizer.special_tokens[match.group()])
            position = match.end()
        return ids + self._plain(text[position:])

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer.encode(text.replace(_GUARD, "")) if text else []


def _guarded(conversation: Conversation, pattern: re.Pattern[str]) -> Conversation:
    def guard(text: str) -> str:
        return pattern.sub(lambda match: match.group()[0] + _GUARD + match.group()[1:], text)

    def message(item: Message) -> Message:
        return replace(item, content=guard(item.content))

    rounds = tuple(
        Round(
            tuple(map(message, item.asked)), None if item.answer is None else message(item.answer)
        )
        for item in conversation.rounds
    )
    system = None if conversation.system is None else guard(conversation.system)
    return replace(conversation, rounds=rounds, system=system)
