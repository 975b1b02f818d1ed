"""What a chat template of either format does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from llm_data.chat_template.conversation import Conversation


@dataclass(frozen=True)
class RenderedRounds:
    """Text of a conversation, in the parts that are encoded one by one."""

    system: str
    rounds: tuple[tuple[str, str | None], ...]
    """(asked, answer) of each round; the last answer is None for a question."""


class ChatTemplate(Protocol):
    """A template of either format."""

    @property
    def name(self) -> str:
        """Where it came from."""

    def render(self, conversation: Conversation, *, is_training: bool) -> RenderedRounds:
        """Text of the conversation. Raises ChatTemplateError when the template refuses it."""
