"""Templates in PaddleNLP's chat_template.json: `system`, `conversation` (two parts), `query`.

{"system": "...", "conversation": ["...{{user}}...", "{{bot}}..."], "query": "...{{query}}..."}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_data.chat_template.conversation import Conversation
from llm_data.chat_template.environment import compiled, rendered
from llm_data.chat_template.interface import RenderedRounds
from llm_data.errors import ChatTemplateError


@dataclass(frozen=True)
class PaddleTemplate:
    """One chat_template.json."""

    name: str
    conversation: tuple[str, str]
    query: str
    system: str | None = None

    @classmethod
    def from_object(cls, content: Any, name: str) -> PaddleTemplate:
        """Check the parsed JSON. Raises ChatTemplateError naming the wrong field."""
        if not isinstance(content, dict):
            message = f"The chat template {name} is no JSON object."
            raise ChatTemplateError(message)
        parts: Any = content.get("conversation")
        query, system = content.get("query"), content.get("system")
        pair = isinstance(parts, list) and len(parts) == 2
        if not pair or not all(isinstance(part, str) for part in parts):
            message = (
                f"The chat template {name} needs `conversation`: a list of exactly two texts, the "
                "user's part and the answer's part."
            )
            raise ChatTemplateError(message)
        if not isinstance(query, str) or not isinstance(system, str | None):
            message = f"The chat template {name} needs a text `query` (and `system`, if given)."
            raise ChatTemplateError(message)
        unknown = sorted(set(content) - {"conversation", "query", "system"})
        if unknown:
            message = f"The chat template {name} has unknown fields {unknown}."
            raise ChatTemplateError(message)
        for source in (*parts, query, system or ""):
            compiled(source, name)
        return cls(name, (parts[0], parts[1]), query, system)

    def render(self, conversation: Conversation, *, is_training: bool) -> RenderedRounds:
        """Text of the conversation; an unanswered last round uses `query`."""
        context = dict(conversation.context)
        if conversation.system is not None:
            context["system"] = conversation.system
        context["is_training"] = is_training
        context["length"] = len(conversation.rounds)
        system = rendered(self.system, self.name, **context) if self.system else ""
        if conversation.system and conversation.system not in system:
            message = f"The chat template {self.name} has no place for the record's system text."
            raise ChatTemplateError(message)
        rounds: list[tuple[str, str | None]] = []
        for index, item in enumerate(conversation.rounds):
            if len(item.asked) != 1 or item.asked[0].role != "user" or conversation.tools:
                message = f"The chat template {self.name} knows only user and assistant, no tools."
                raise ChatTemplateError(message)
            place = {
                "index": index,
                "is_first": index == 0,
                "is_last": index + 1 == len(conversation.rounds),
            }
            user = item.asked[0].content
            if item.answer is None:
                variables = {"query": user, **place, **context}
                rounds.append((rendered(self.query, self.name, **variables), None))
                continue
            variables = {"user": user, "bot": item.answer.content, **place, **context}
            asked, answer = (rendered(part, self.name, **variables) for part in self.conversation)
            rounds.append((asked, answer))
        return RenderedRounds(system, tuple(rounds))

    def drift(self) -> tuple[str, str] | None:
        """The first question as training and as inference write it, if the two differ."""
        probe = "How do you do?"
        variables = {"index": 0, "is_first": True, "is_last": True, "length": 1}
        asked = rendered(
            self.conversation[0], self.name, user=probe, bot="", is_training=True, **variables
        )
        query = rendered(self.query, self.name, query=probe, is_training=False, **variables)
        return None if asked == query else (asked, query)
