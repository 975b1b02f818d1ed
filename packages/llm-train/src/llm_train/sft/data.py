"""The samples of a supervised run."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from llm_convert.model import read_config
from llm_data.chat_template import ChatTemplate, load_chat_template
from llm_data.packing import PackedDataset
from llm_data.sft import SampleEncoder, SftDataset
from llm_data.tokenizer import Tokenizer
from llm_kernels.families import detect
from llm_train.blanks.answers import AnsweredSamples, AnswerLayout, PackedAnswers, answer_layout
from llm_train.blanks.fields import filled
from llm_train.blanks.tokens import blank_tokens
from llm_train.errors import RecipeError
from llm_train.loop import TrainingData
from llm_train.loop.data import Samples
from llm_train.sft.options import SftDataOptions
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def supervised_data(
    options: SftDataOptions, training: TrainingOptions, tokenizer: Tokenizer
) -> TrainingData:
    """Samples of train.json, dev.json and test.json; what was cut or dropped is in the log.

    A model with a prefix mask is given blanks (see `llm_train.blanks`). Raises RecipeError without
    a data set, llm_data's errors for files that are not right.
    """
    if not options.dataset_name_or_path:
        message = "Missing --dataset_name_or_path: the folder with train.json and dev.json."
        raise RecipeError(message)
    source = _Source(options, training, tokenizer)
    layout = source.layout
    if layout is not None and source.template is not None:
        logger.info("Of several rounds the last answer is learnt; the others are its context.")
    data = source.read("train")
    train = _arranged(data, layout, options)
    if options.zero_padding:
        logger.info("%d samples are packed into %d rows.", len(data), len(train))
    fill = partial(data.collate, pad_to_multiple_of=options.pad_to_multiple_of)
    return TrainingData(
        train,
        fill if layout is None else filled(fill),
        _arranged(source.read("dev"), layout, options) if training.evaluates else None,
        _arranged(source.read("test"), layout, options) if training.do_predict else None,
    )


def _arranged(data: SftDataset, layout: AnswerLayout | None, options: SftDataOptions) -> Samples:
    samples = data if layout is None else AnsweredSamples(data, layout)
    if not options.zero_padding:
        return samples
    kind = PackedDataset if layout is None else PackedAnswers
    return kind(samples, options.max_length)


def held_out(
    options: SftDataOptions, training: TrainingOptions, tokenizer: Tokenizer
) -> SftDataset | AnsweredSamples:
    """The samples of dev.json, each by itself."""
    source = _Source(options, training, tokenizer)
    samples = source.read("dev")
    return samples if source.layout is None else AnsweredSamples(samples, source.layout)


class _Source:
    """Where samples come from. `layout`: None for a causal model."""

    def __init__(
        self, options: SftDataOptions, training: TrainingOptions, tokenizer: Tokenizer
    ) -> None:
        self._options, self._tokenizer = options, tokenizer
        self.template: ChatTemplate | None = load_chat_template(options.chat_template, tokenizer)
        config = read_config(Path(training.model_name_or_path))
        tokens = blank_tokens(detect(config), config, tokenizer)
        self.layout: AnswerLayout | None = None
        if tokens is not None:
            lengths = options.src_length, options.max_length
            self.layout = answer_layout(tokens, SampleEncoder(tokenizer, self.template, *lengths))

    def read(self, split: str) -> SftDataset:
        """The samples of a split, with room for what the layout adds."""
        options = self._options
        assert options.dataset_name_or_path is not None
        return SftDataset(
            options.dataset_name_or_path,
            self._tokenizer,
            split=split,
            src_length=options.src_length,
            max_length=options.max_length - (self.layout.added if self.layout else 0),
            chat_template=self.template if self.template is not None else "none",
            excess_length=options.excess_length,
            strict=options.strict,
        )
