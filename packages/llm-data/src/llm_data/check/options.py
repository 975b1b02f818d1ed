"""Options of `llm data check`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from llm_cli.errors import UserError
from llm_cli.options import option


@dataclass(kw_only=True)
class CheckOptions:
    """Count what training would cut, drop or not learn in supervised data.

    Encodes every record with the real tokenizer, template and lengths. Exit code 1 when a share
    is above its limit.
    """

    dataset_name_or_path: str = option(
        help="Folder with train.json, dev.json, quant.json, or one JSON Lines file.",
        aliases=("task_name_or_path", "input_path"),
    )
    tokenizer_name_or_path: str = option(
        help="Folder of the tokenizer.", aliases=("model_name_or_path",)
    )
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
    per_device_train_batch_size: int = option(
        8, help="Batch for which the filling before packing is computed.", group="Lengths"
    )
    max_dropped_share: float = option(
        0.0, help="Records that may give no sample.", group="Limits (shares of 1)"
    )
    max_cut_share: float = option(
        0.05, help="Samples that may lose text.", group="Limits (shares of 1)"
    )
    max_endless_share: float = option(
        0.0, help="Samples that may not learn where to stop.", group="Limits (shares of 1)"
    )
    max_duplicate_share: float = option(
        0.05,
        help="Samples that may repeat an earlier one, or one of train.",
        group="Limits (shares of 1)",
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_share") and not 0 <= value <= 1:
                message = f"--{item.name} {value} is no share: give a number from 0 to 1."
                raise UserError(message)
        if self.per_device_train_batch_size < 1:
            message = (
                f"--per_device_train_batch_size {self.per_device_train_batch_size} must be at "
                "least 1."
            )
            raise UserError(message)
