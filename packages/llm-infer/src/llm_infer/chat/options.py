"""The options of `llm infer chat`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import option
from llm_infer.errors import UnsupportedError
from llm_infer.options.run import RunOptions

_CHAT = "Conversation"


@dataclass(kw_only=True)
class ChatOptions(RunOptions):
    """Talk with a model on the terminal.

    /reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer, and a line that
    ends in a backslash goes on in the next one. When the conversation becomes longer than
    src_length, its first rounds are left out, and that is said.
    """

    src_length: int = option(
        1536, help="Most tokens of the conversation that the model reads.", group=_CHAT
    )
    system: str | None = option(
        None, help="System text that stands before the conversation.", group=_CHAT
    )

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        super().__post_init__()
        if self.use_fake_parameter:
            message = "--use_fake_parameter makes answers that mean nothing; leave it out."
            raise UnsupportedError(message)
