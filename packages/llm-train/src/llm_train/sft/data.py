"""The samples of a supervised run."""

from __future__ import annotations

import logging
from functools import partial

from llm_data.packing import PackedDataset
from llm_data.sft import SftDataset
from llm_data.tokenizer import Tokenizer
from llm_train.errors import RecipeError
from llm_train.loop import TrainingData
from llm_train.sft.options import SftDataOptions
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def supervised_data(
    options: SftDataOptions, training: TrainingOptions, tokenizer: Tokenizer
) -> TrainingData:
    """Samples of train.json, dev.json and test.json; what was cut or dropped is in the log.

    Raises RecipeError without a data set, llm_data's errors for files that are not right.
    """
    if not options.dataset_name_or_path:
        message = "Missing --dataset_name_or_path: the folder with train.json and dev.json."
        raise RecipeError(message)
    train = _samples(options, tokenizer, "train")
    collate = partial(train.collate, pad_to_multiple_of=options.pad_to_multiple_of)
    valid = _samples(options, tokenizer, "dev") if training.evaluates else None
    test = _samples(options, tokenizer, "test") if training.do_predict else None
    if not options.zero_padding:
        return TrainingData(train, collate, valid, test)
    rows = [part and PackedDataset(part, options.max_length) for part in (train, valid, test)]
    assert rows[0] is not None
    logger.info("%d samples are packed into %d rows.", len(train), len(rows[0]))
    return TrainingData(rows[0], collate, rows[1], rows[2])


def held_out(options: SftDataOptions, tokenizer: Tokenizer) -> SftDataset:
    """The samples of dev.json, each by itself."""
    return _samples(options, tokenizer, "dev")


def _samples(options: SftDataOptions, tokenizer: Tokenizer, split: str) -> SftDataset:
    assert options.dataset_name_or_path is not None
    return SftDataset(
        options.dataset_name_or_path,
        tokenizer,
        split=split,
        src_length=options.src_length,
        max_length=options.max_length,
        chat_template=options.chat_template,
        excess_length=options.excess_length,
        strict=options.strict,
    )
