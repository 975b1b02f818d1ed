"""Templates in HF's form: one Jinja text that renders all `messages` at once.

The parts of the rounds are found by rendering growing beginnings of the conversation; each must
begin with the one before, else what an answer is trained on would not be what inference shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_data.chat_template.conversation import Conversation
from llm_data.chat_template.environment import compiled, rendered
from llm_data.chat_template.interface import RenderedRounds
from llm_data.errors import ChatTemplateError


@dataclass(frozen=True)
class HuggingFaceTemplate:
    """One Jinja chat template and the special tokens that it may name."""

    text: str
    name: str
    special: dict[str, Any]

    def __post_init__(self) -> None:
        compiled(self.text, self.name)

    def render(self, conversation: Conversation, *, is_training: bool) -> RenderedRounds:
        """Text of the conversation, cut before and after every answer."""
        before = ""
        rounds: list[tuple[str, str | None]] = []
        for count, item in enumerate(conversation.rounds, start=1):
            asked = self._text(conversation, count, answered=False, is_training=is_training)
            question = self._added(asked, before)
            if item.answer is None:
                rounds.append((question, None))
                break
            whole = self._text(conversation, count, answered=True, is_training=is_training)
            rounds.append((question, self._added(whole, asked)))
            before = whole
        return RenderedRounds("", tuple(rounds))

    def _text(
        self, conversation: Conversation, count: int, *, answered: bool, is_training: bool
    ) -> str:
        variables = {**self.special, **conversation.context, "is_training": is_training}
        variables["messages"] = conversation.messages(rounds=count, answered=answered)
        variables["tools"] = conversation.tools
        variables["add_generation_prompt"] = not answered
        return rendered(self.text, self.name, **variables)

    def _added(self, text: str, before: str) -> str:
        if text.startswith(before):
            return text[len(before) :]
        message = (
            f"The chat template {self.name} rewrites earlier text when a message is added, so the "
            "answers cannot be told from the questions. Use a chat_template.json for training."
        )
        raise ChatTemplateError(message)
