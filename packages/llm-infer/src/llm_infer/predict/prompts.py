"""From what a user wrote to the token ids of a prompt, of the right length or refused.

A chat template renders the text as a question; without one the text stands as it is, with whatever
the tokenizer puts around a text. What a user wrote never becomes a special token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_data.chat_template import (
    ChatTemplate,
    Conversation,
    encode_prompt,
    from_messages,
    from_rounds,
)
from llm_data.errors import DataError
from llm_data.tokenizer import Tokenizer
from llm_infer.errors import DataFileError, PromptTooLongError


@dataclass(frozen=True)
class PromptEncoder:
    """Encodes prompts of at most `src_length` tokens; `truncate` (left, right) cuts longer ones."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    src_length: int
    truncate: str | None = None
    bound: str = "that is --src_length, which may be raised"
    """Why no more fit, for the error."""

    def text(self, text: str) -> list[int]:
        """Token ids of one question. Raises PromptTooLongError with the numbers."""
        return self.conversation(from_rounds([text], []))

    def conversation(self, conversation: Conversation) -> list[int]:
        """Token ids of a conversation that ends with a question.

        Raises DataFileError for several rounds without a chat template.
        """
        if self.template is not None:
            return self._fit(encode_prompt(self.template, conversation, self.tokenizer), 0)
        if len(conversation.rounds) > 1 or conversation.system or conversation.tools:
            message = (
                "several rounds, a system text or tools need a chat template, and the model has "
                "none; give --chat_template"
            )
            raise DataFileError(message)
        text = conversation.rounds[0].asked[0].content
        ids = self.tokenizer.encode(text, add_special_tokens=True)
        return self._fit(ids, len(ids) - len(self.tokenizer.encode(text)))

    def _fit(self, ids: list[int], added: int) -> list[int]:
        """`ids`, cut if that was asked for; the first `added` (BOS) stay on a cut from the left."""
        if len(ids) <= self.src_length:
            return ids
        if self.truncate == "left":
            return ids[:added] + ids[len(ids) - max(self.src_length - added, 0) :]
        if self.truncate == "right":
            return ids[: self.src_length]
        message = (
            f"The prompt has {len(ids)} tokens, but at most {self.src_length} fit: {self.bound}. "
            "Shorten it, or cut it with --truncate left or right."
        )
        raise PromptTooLongError(message)


def question(record: Mapping[str, Any]) -> Conversation:
    """The conversation of a data record up to its last question; its answer, if any, is left out.

    Takes {"src": text or list, "tgt": the same, "system", "context"} and {"messages": [...]}.
    Raises DataFileError with the reason.
    """
    context = record.get("context") or {}
    if not isinstance(context, dict):
        message = "context is no object"
        raise DataFileError(message)
    if "messages" in record:
        return _from_messages(record, context)
    if "src" not in record:
        message = "missing key 'src'"
        raise DataFileError(message)
    asked, answers = _texts(record["src"], "src"), _texts(record.get("tgt") or [], "tgt")
    earlier = answers[: len(asked) - 1]
    if len(earlier) < len(asked) - 1:
        message = f"src has {len(asked)} rounds, but tgt answers only {len(answers)}"
        raise DataFileError(message)
    system = record.get("system")
    if not isinstance(system, str | None):
        message = "system is no text"
        raise DataFileError(message)
    return from_rounds(asked, earlier, system=system or None, context=context)


def _from_messages(record: Mapping[str, Any], context: dict[str, Any]) -> Conversation:
    messages = record["messages"]
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        message = "messages is no list of objects"
        raise DataFileError(message)
    if messages and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    try:
        return from_messages(messages, tools=record.get("tools"), context=context)
    except DataError as error:
        raise DataFileError(str(error)) from error


def _texts(value: object, key: str) -> list[str]:
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts) or (key == "src" and not texts):
        message = f"{key} is neither a text nor a list of texts"
        raise DataFileError(message)
    return texts
