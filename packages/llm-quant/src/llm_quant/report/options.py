"""The options of `llm quant report`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_quant.checks import check_positive

DATA = "Held-out data"


@dataclass(kw_only=True)
class ReportOptions:
    """Compare models on held-out tokens: perplexity, KL, agreement, size.

    All models read the same tokens. KL divergence and top-1 agreement are taken against the
    first model.
    """

    model_name_or_path: str = option(
        help="Model that others are compared with: a folder, or org/name[@revision] on a hub."
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub."
    )
    quantized_model_name_or_path: list[str] = option([], help="Folders of models to compare.")
    output_file: str | None = option(None, help="JSON file to write the numbers to.")

    input_dir: str | None = option(
        None, help="Folder or prefix of tokenized .bin/.idx data.", group=DATA
    )
    split: str = option(
        "949,50,1", help="Train, validation, test shares; validation is used.", group=DATA
    )
    dataset_name_or_path: str | None = option(
        None, help='Folder with dev.json: lines {"src", "tgt"}; tgt is scored.', group=DATA
    )
    chat_template: str | None = option(
        None,
        help='Template of the lines: a file or folder; absent: the model\'s own; "none".',
        group=DATA,
    )
    max_eval_tokens: int = option(65536, help="Tokens to score at most.", group=DATA)
    max_seq_length: int = option(
        1024, help="Tokens a model sees at once.", group=DATA, aliases=("max_length",)
    )
    src_length: int | None = option(
        None, help="Tokens of a prompt at most; absent: half of max_seq_length.", group=DATA
    )

    def __post_init__(self) -> None:
        check_positive(
            max_eval_tokens=self.max_eval_tokens,
            max_seq_length=self.max_seq_length,
            src_length=1 if self.src_length is None else self.src_length,
        )
        if (self.dataset_name_or_path is None) == (self.input_dir is None):
            message = (
                "A report needs held-out data of one kind: --input_dir (tokenized .bin/.idx "
                "data) or --dataset_name_or_path (a folder with dev.json)."
            )
            raise UserError(message)
