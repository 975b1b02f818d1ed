"""Looks at every path a run names before Paddle's seconds of import: is there what it needs.

Nothing is written. The run looks again where it matters, since much can happen in between.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llm_cli.outputs import is_complete
from llm_train.errors import RecipeError, ResumeError
from llm_train.lock import refuse_held
from llm_train.training_options import TrainingOptions

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer
    from llm_train.pretrain.options import PretrainOptions
    from llm_train.sft.options import SftDataOptions


def check_pretraining(options: PretrainOptions) -> None:
    """Raise what is wrong with output folder, weights, tokenizer or token files.

    RecipeError, llm_convert's and llm_data's errors.
    """
    check_output(options)
    _check_weights(options, default=False)
    tokenizer = _tokenizer(options) if options.tokenizer_name_or_path is not None else None
    _check_blanks(options, tokenizer)
    from llm_data.indexed import IndexedDataset
    from llm_data.pretrain import parse_input_dir

    assert options.input_dir is not None
    for _, prefix in parse_input_dir(options.input_dir):
        IndexedDataset(prefix)


def check_supervised(options: TrainingOptions, data: SftDataOptions) -> None:
    """Raise what is wrong with output folder, weights, tokenizer, chat template or data files.

    RecipeError, llm_convert's and llm_data's errors.
    """
    if not data.dataset_name_or_path:
        message = "Missing --dataset_name_or_path: the folder with train.json and dev.json."
        raise RecipeError(message)
    check_output(options)
    _check_weights(options, default=True)
    from llm_data.chat_template import load_chat_template
    from llm_data.sft import SampleEncoder, find_split_files

    tokenizer = _tokenizer(options)
    _check_blanks(options, tokenizer)
    template = load_chat_template(data.chat_template, tokenizer)
    SampleEncoder(tokenizer, template, data.src_length, data.max_length)
    wanted = {"train": True, "dev": options.evaluates, "test": options.do_predict}
    for split in (name for name, needed in wanted.items() if needed):
        find_split_files(data.dataset_name_or_path, split)


def check_output(options: TrainingOptions) -> None:
    """Raise RecipeError where output_dir cannot be one, is in use, or holds a finished model.

    ResumeError where the checkpoint to resume from is no folder.
    """
    folder = Path(options.output_dir)
    in_the_way = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if in_the_way.exists() and not in_the_way.is_dir():
        message = (
            f"--output_dir {folder}: {in_the_way} is a file, not a folder. Choose another "
            "--output_dir."
        )
        raise RecipeError(message)
    refuse_held(folder)
    if options.do_train and not options.overwrite_output_dir:
        refuse_finished(folder)
    named = options.resume_from_checkpoint
    if named and named.lower() not in ("true", "false") and not Path(named).is_dir():
        message = (
            f"--resume_from_checkpoint {named}: there is no such folder. Name a checkpoint, or "
            "true for the newest one of --output_dir."
        )
        raise ResumeError(message)


def refuse_finished(folder: Path) -> None:
    """Raise RecipeError where `folder` holds a finished model."""
    if is_complete(folder):
        message = (
            f"{folder} holds a finished model. Choose another --output_dir, or replace it with "
            "--overwrite_output_dir true (and --resume_from_checkpoint true to train it further)."
        )
        raise RecipeError(message)


def check_vocabulary(tokenizer: Tokenizer, vocab: int) -> None:
    """Raise RecipeError where the tokenizer has more ids than the model's `vocab` embeddings."""
    if tokenizer.vocab_size > vocab:
        message = (
            f"The tokenizer {tokenizer.path} has {tokenizer.vocab_size} ids, the model only "
            f"{vocab} embeddings. Use the model's own tokenizer, or raise vocab_size."
        )
        raise RecipeError(message)


def _check_weights(options: TrainingOptions, default: bool) -> None:
    if options.takes_weights(default=default):
        from llm_convert.model import open_model

        open_model(Path(options.model_name_or_path))


def _check_blanks(options: TrainingOptions, tokenizer: Tokenizer | None) -> None:
    from llm_convert.model import read_config
    from llm_data.errors import TokenizerError
    from llm_data.tokenizer import load_tokenizer
    from llm_kernels.families import detect
    from llm_train.blanks.tokens import blank_tokens

    if tokenizer is None:
        with suppress(TokenizerError):
            tokenizer = load_tokenizer(options.model_name_or_path)
    config = read_config(Path(options.model_name_or_path))
    blank_tokens(detect(config), config, tokenizer)


def _tokenizer(options: TrainingOptions) -> Tokenizer:
    from llm_convert.model import read_config
    from llm_data.tokenizer import load_tokenizer
    from llm_kernels.families import detect, read_sizes

    config = read_config(Path(options.model_name_or_path))
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or options.model_name_or_path)
    check_vocabulary(tokenizer, read_sizes(detect(config), config).vocab)
    return tokenizer
