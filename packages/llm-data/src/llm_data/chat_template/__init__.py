"""Conversations to token ids: one rendering for training and for inference.

    template = load_chat_template(None, tokenizer)             # from the tokenizer's folder
    ids = encode_prompt(template, conversation, tokenizer)      # inference: what the model is asked
    parts = encode_conversation(template, conversation, tokenizer)   # training: rounds of ids

Both go through the same parts, encoded one by one, so the ids of a prompt are the ids that stood
before the answer in training. What a user wrote never becomes a special token.
"""

from __future__ import annotations

from llm_data.chat_template.conversation import Conversation, Message, from_messages, from_rounds
from llm_data.chat_template.encoding import EncodedRounds, encode_conversation, encode_prompt
from llm_data.chat_template.interface import ChatTemplate
from llm_data.chat_template.loading import load_chat_template
from llm_data.chat_template.saving import save_chat_template

__all__ = [
    "ChatTemplate",
    "Conversation",
    "EncodedRounds",
    "Message",
    "encode_conversation",
    "encode_prompt",
    "from_messages",
    "from_rounds",
    "load_chat_template",
    "save_chat_template",
]
