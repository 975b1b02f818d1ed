"""Options of `llm data tokenize`; names and defaults are those of create_pretraining_data.py."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_data.text_input import TextInputOptions


@dataclass(kw_only=True)
class TokenizeOptions(TextInputOptions):
    """Turn text into the .bin/.idx files that pretraining reads.

    A run that was killed goes on where it was when it is started again with the same options.
    """

    tokenizer_name_or_path: str = option(
        help="Folder of the tokenizer.", aliases=("model_name_or_path", "tokenizer_name")
    )
    output_prefix: str = option(help="Writes OUTPUT_PREFIX.bin and OUTPUT_PREFIX.idx.")
    max_repeated_len: int = option(
        100,
        help="A longer run of one character shrinks to one (counted); 0 keeps every text as it is.",
        group="Input",
    )
    append_eos: bool = flag(False, help="End every document with the EOS token.")
    data_impl: str = option("mmap", help="Layout of the output.", choices=("mmap",))
    workers: int = option(1, help="Processes that tokenize.")
    overwrite: bool = flag(
        False, help="Replace an existing output, and drop unfinished work of another run."
    )

    def __post_init__(self) -> None:
        if self.workers < 1:
            message = f"--workers {self.workers} must be at least 1."
            raise UserError(message)
        if self.max_repeated_len < 0:
            message = f"--max_repeated_len {self.max_repeated_len} must be 0 (off) or more."
            raise UserError(message)
        if not self.output_prefix or self.output_prefix.endswith("/"):
            message = f"--output_prefix {self.output_prefix!r} must end with a name."
            raise UserError(message)
