"""Runs `llm infer chat`."""

from __future__ import annotations

import contextlib

from llm_convert.hub import resolve_model
from llm_infer.chat.dialogue import Dialogue
from llm_infer.chat.options import ChatOptions
from llm_infer.chat.terminal import converse
from llm_infer.predict.session import open_session


def chat(options: ChatOptions) -> None:
    """Load the model and talk until the reader leaves."""
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    session = open_session(options, rounds=True)
    with contextlib.closing(session.engine):
        converse(Dialogue(session, options.system))
