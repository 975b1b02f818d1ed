"""Options of `llm data train-tokenizer`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_data.text_input import TextInputOptions

BYTES = 256


@dataclass(kw_only=True)
class TrainTokenizerOptions(TextInputOptions):
    """Learn a byte-level BPE vocabulary from text.

    Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json, which transformers
    loads too. The same input gives the same files.
    """

    output_path: str = option(help="Folder to write the tokenizer to.")
    vocab_size: int = option(4096, help="Size of the vocabulary, special tokens included.")
    bos_token: str | None = option(
        None,
        help="Token that begins a text, for instance <s>; by default there is none.",
        group="Special tokens",
    )
    eos_token: str = option("<|endoftext|>", help="Token that ends a text.", group="Special tokens")
    pad_token: str | None = option(
        None, help="Token that fills batches; by default the EOS token.", group="Special tokens"
    )
    additional_special_tokens: list[str] = option(
        [], help="Further special tokens, for instance <|im_start|>.", group="Special tokens"
    )
    min_frequency: int = option(
        2, help="A pair must occur this often to be merged.", group="Vocabulary"
    )
    overwrite: bool = flag(False, help="Replace an earlier tokenizer in output_path.")

    def special_tokens(self) -> list[str]:
        """Every special token once; their ids are 0, 1, ... in this order."""
        roles = [self.bos_token, self.eos_token, self.pad_token, *self.additional_special_tokens]
        return list(dict.fromkeys(token for token in roles if token))

    def __post_init__(self) -> None:
        needed = BYTES + len(self.special_tokens())
        if self.vocab_size < needed:
            message = (
                f"--vocab_size {self.vocab_size} is too small: {BYTES} bytes and "
                f"{needed - BYTES} special tokens need {needed}."
            )
            raise UserError(message)
        if not self.eos_token:
            message = "--eos_token is empty. Name the token that ends a text."
            raise UserError(message)
        if self.min_frequency < 1:
            message = f"--min_frequency {self.min_frequency} must be at least 1."
            raise UserError(message)
