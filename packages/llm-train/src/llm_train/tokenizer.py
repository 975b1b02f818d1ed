"""The tokenizer that belongs to a run: found, checked against the model, stated in its config."""

from __future__ import annotations

import logging
from pathlib import Path

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_train.blanks.tokens import blank_tokens
from llm_train.model import SpecForCausalLM
from llm_train.model.files import state_token_ids
from llm_train.places import check_vocabulary
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def run_tokenizer(options: TrainingOptions, model: SpecForCausalLM) -> Tokenizer:
    """The tokenizer of a run, which the model's config then names the special ids of.

    Raises TokenizerError where there is none, RecipeError where it has more ids than the model.
    """
    tokenizer = load_tokenizer(options.tokenizer_name_or_path or options.model_name_or_path)
    check_vocabulary(tokenizer, model.sizes.vocab)
    blanks = blank_tokens(model.spec, model.source, tokenizer)
    if blanks is not None:
        blanks.state(model.source)
    state_token_ids(model.source, tokenizer)
    return tokenizer


def optional_tokenizer(options: TrainingOptions, model: SpecForCausalLM) -> Tokenizer | None:
    """As `run_tokenizer`; None, said in the log, where none was named and the model has none."""
    if options.tokenizer_name_or_path is None:
        try:
            load_tokenizer(options.model_name_or_path)
        except TokenizerError:
            logger.warning(
                "There is no tokenizer in %s and no --tokenizer_name_or_path, so the trained "
                "model will have none either.",
                Path(options.model_name_or_path),
            )
            return None
    return run_tokenizer(options, model)
