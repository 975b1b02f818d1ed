"""Options of `llm data inspect`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option


@dataclass(kw_only=True)
class InspectOptions:
    """Show samples token by token, with mask and positions.

    Learnt tokens are green and between [ and ]. Also shows documents of a .bin/.idx prefix.
    """

    input_path: str = option(
        help="Supervised data (folder or JSON Lines file), or a .bin/.idx prefix.",
        aliases=("dataset_name_or_path", "task_name_or_path"),
    )
    tokenizer_name_or_path: str = option(
        help="Folder of the tokenizer.", aliases=("model_name_or_path",)
    )
    num_samples: int = option(3, help="How many to show.")
    max_tokens: int = option(
        240, help="Tokens of each to show, half from its beginning, half from its end; 0: all."
    )
    start: int = option(0, help="First sample or document to show.")
    split: str = option("train", help="Split of a data folder.", choices=("train", "dev", "quant"))
    src_length: int = option(1024, help="Tokens of a question at most.", group="Lengths")
    max_length: int = option(2048, help="Tokens of question and answer at most.", group="Lengths")
    excess_length: str = option(
        "truncate",
        help="What becomes of a record that is too long: truncate, drop (both counted), or raise.",
        choices=("truncate", "drop", "raise"),
        group="Lengths",
    )
    chat_template: str | None = option(
        None, help='Template file or folder; by default the tokenizer\'s own; "none": off.'
    )
    zero_padding: bool = flag(False, help="Show packed rows.", aliases=("intokens",))
    tokens: bool = flag(False, help="One line a token: position, segment, id, label, piece.")

    def __post_init__(self) -> None:
        for name, least, shows in (
            ("num_samples", 1, "how many samples to show"),
            ("max_tokens", 0, "how many tokens of each sample to show, 0 for all"),
            ("start", 0, "the first sample to show, counted from 0"),
        ):
            value = getattr(self, name)
            if value < least:
                message = f"--{name} {value} must be at least {least}: it is {shows}."
                raise UserError(message)
