"""The samples of a pretraining run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from llm_data.pretrain import build_pretrain_datasets
from llm_kernels.families import FamilySpec, Learned, Sizes
from llm_train.blanks.tokens import BlankTokens
from llm_train.blanks.windows import ADDED, BlankWindows
from llm_train.errors import BatchError, RecipeError
from llm_train.loop import TrainingData
from llm_train.loop.data import Batch, Sample, Samples, stacked
from llm_train.loop.plan import make_plan
from llm_train.pretrain.options import PretrainOptions

logger = logging.getLogger(__name__)


def pretraining_data(
    options: PretrainOptions,
    spec: FamilySpec,
    sizes: Sizes,
    replicas: int = 1,
    blanks: BlankTokens | None = None,
) -> TrainingData:
    """Training, held-out and test samples of `input_dir`, as many as the run's replicas need.

    `blanks`: those of a family with a prefix mask, whose samples they lay out; None: it is causal.

    Raises RecipeError where a sample is longer than the model's positions, llm_data's errors for
    files and splits that are not right.
    """
    _check_length(options.max_seq_length, spec, sizes)
    assert options.input_dir is not None
    wanted = (None, None if options.evaluates else 0, None if options.do_predict else 0)
    place = (options.input_dir, options.split, options.max_seq_length - (ADDED if blanks else 0))
    once, valid, test = build_pretrain_datasets(*place, num_samples=wanted, seed=options.seed)
    if once is None:
        message = (
            f"--split {options.split} leaves no document of {options.input_dir} to train on. Give "
            "its first part a larger share."
        )
        raise RecipeError(message)
    plan = make_plan(options, len(once), replicas)
    needed = plan.steps * plan.batch
    train, _, _ = build_pretrain_datasets(*place, num_samples=(needed, 0, 0), seed=options.seed)
    assert train is not None
    logger.info(
        "%d samples of %d tokens are one epoch; the run reads %d.",
        len(once),
        options.max_seq_length,
        needed,
    )
    collate = partial(stacked_below, sizes.vocab)

    def arranged(part: Samples | None) -> Samples | None:
        return part and BlankWindows(part, blanks, options.seed) if blanks else part

    return TrainingData(
        arranged(train) or train,
        collate,
        arranged(valid),
        arranged(test),
        epoch=len(once),
        shuffle=False,
    )


def stacked_below(vocab: int, samples: Sequence[Sample]) -> Batch:
    """A batch of whole samples. Raises BatchError for ids that are not below `vocab`."""
    batch = stacked(samples)
    highest = max(int(batch[name].max()) for name in ("input_ids", "labels"))
    if highest >= vocab:
        message = (
            f"The data hold token id {highest}, the model has {vocab} embeddings. Tokenize them "
            "with the model's tokenizer, or raise vocab_size in config.json."
        )
        raise BatchError(message)
    return batch


def _check_length(length: int, spec: FamilySpec, sizes: Sizes) -> None:
    if length <= sizes.max_positions or not sizes.max_positions:
        return
    if isinstance(spec.position, Learned):
        message = (
            f"--max_seq_length {length} is above the model's {sizes.max_positions} positions, for "
            "which it has embeddings. Use at most that."
        )
        raise RecipeError(message)
    logger.warning(
        "max_seq_length %d is above the %d positions of config.json; set "
        "max_position_embeddings there so that inference knows.",
        length,
        sizes.max_positions,
    )
