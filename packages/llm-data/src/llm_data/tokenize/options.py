"""Options of `llm data tokenize`; names and defaults are those of create_pretraining_data.py."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_data.text_input import TextInputOptions


@dataclass(kw_only=True)
class TokenizeOptions(TextInputOptions):
    """Turn text into the files of token ids that pretraining reads.

    A run that was killed goes on where it was when it is started again with the same options.
    """

    tokenizer_name_or_path: str = option(
        help="Folder of the tokenizer.", aliases=("model_name_or_path", "tokenizer_name")
    )
    output_prefix: str = option(
        help="Writes OUTPUT_PREFIX.bin and OUTPUT_PREFIX.idx, or _ids.npy and _idx.npz."
    )
    max_repeated_len: int = option(
        100,
        help="A longer run of one character shrinks to one (counted); 0 keeps every text as it is.",
        group="Input",
    )
    append_eos: bool = flag(False, help="End every document with the EOS token.")
    split_sentences: bool = flag(
        False, help="Divide documents into sentences: each is a sequence of the index."
    )
    chinese: bool = flag(False, help="With --split_sentences: a line is a sentence.")
    cn_whole_word_segment: bool = flag(
        False, help="Mark characters inside a Chinese word with the ## pieces of the vocabulary."
    )
    cn_space_words: bool = flag(False, help="Put a space between Chinese words.")
    cn_seg_func: str = option(
        "jieba", help="What finds the Chinese words (extra `chinese`).", choices=("jieba",)
    )
    data_impl: str = option(
        "mmap",
        help="Layout of the output: mmap: .bin and .idx; npy: the older _ids.npy and _idx.npz.",
        choices=("mmap", "npy"),
    )
    workers: int = option(1, help="Processes that tokenize.")
    engine: str = option(
        "local",
        help="local: processes of this machine; ray: a Ray cluster (extra `ray`), whose nodes must "
        "see the input files and the tokenizer under the same paths.",
        choices=("local", "ray"),
    )
    fast_tokenizer: str = option(
        "auto",
        help="gigatoken (extra `fast`): auto: where it is installed and gives the same ids; off; "
        "require: or stop.",
        choices=("auto", "off", "require"),
    )
    overwrite: bool = flag(
        False, help="Replace an existing output, and drop unfinished work of another run."
    )

    def __post_init__(self) -> None:
        if self.workers < 1:
            message = f"--workers {self.workers} must be at least 1."
            raise UserError(message)
        if self.cn_whole_word_segment and self.cn_space_words:
            message = "--cn_whole_word_segment and --cn_space_words exclude each other: choose one."
            raise UserError(message)
        if self.max_repeated_len < 0:
            message = f"--max_repeated_len {self.max_repeated_len} must be 0 (off) or more."
            raise UserError(message)
        if not self.output_prefix or self.output_prefix.endswith("/"):
            message = f"--output_prefix {self.output_prefix!r} must end with a name."
            raise UserError(message)
