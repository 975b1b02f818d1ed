"""Options of `llm train sft`, with the names of PaddleNLP's run_finetune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llm_cli.options import flag, option
from llm_train.errors import RecipeError
from llm_train.training_options import TrainingOptions

_DATA = "Data"


@dataclass(kw_only=True)
class SftDataOptions:
    """The data of supervised fine-tuning; shared with adapters."""

    writes_answers: ClassVar[bool] = False
    """Whether the command can evaluate by answers that the model writes."""

    dataset_name_or_path: str | None = option(
        None,
        help="Folder with train.json and dev.json, or one file, of {src, tgt} lines.",
        group=_DATA,
        aliases=("task_name_or_path",),
    )
    src_length: int = option(1024, help="Most tokens of a question.", group=_DATA)
    max_length: int = option(2048, help="Most tokens of question and answer.", group=_DATA)
    chat_template: str | None = option(
        None, help="Chat template file; the tokenizer's own where absent, none: none.", group=_DATA
    )
    pad_to_multiple_of: int | None = option(
        None, help="Batches are filled to a multiple of so many tokens.", group=_DATA
    )
    strict: bool = flag(
        False, help="A line that gives no sample is an error, not a count.", group=_DATA
    )
    excess_length: str = option(
        "truncate",
        help="What becomes of a record that is too long: truncate, drop (both counted), or raise.",
        choices=("truncate", "drop", "raise"),
        group=_DATA,
    )
    zero_padding: bool = flag(
        False,
        help="Put several samples into one row of max_length tokens; they do not see each other.",
        group=_DATA,
        aliases=("intokens",),
    )
    greedy_zero_padding: bool = flag(
        False, help="Has no effect: zero_padding fills the first row with room.", group=_DATA
    )
    neftune: bool = flag(False, help="Add noise to the embeddings while training.", group=_DATA)
    neftune_noise_alpha: float = option(
        5.0,
        help="Strength of that noise: uniform in +-alpha / sqrt(tokens x width).",
        group=_DATA,
    )
    eval_with_do_generation: bool = flag(
        False,
        help="Also have the questions answered, and give BLEU-4 and ROUGE; in one process.",
        group="Watching",
    )
    save_generation_output: bool = flag(
        False, help="Keep those answers in generated_output.json.", group="Watching"
    )
    lazy: bool = flag(False, help="Has no effect: samples are always made on demand.")

    def __post_init__(self) -> None:
        """Raise RecipeError for what cannot work, naming the option."""
        if self.eval_with_do_generation and not self.writes_answers:
            message = (
                "--eval_with_do_generation true: this command evaluates by loss and accuracy only. "
                "Set it to false."
            )
            raise RecipeError(message)


@dataclass(kw_only=True)
class SftOptions(SftDataOptions, TrainingOptions):
    """Fine-tune all weights of a model on questions and answers.

    The data are lines of {"src": question, "tgt": answer}. The result is a model folder in
    PaddleNLP's layout.
    """

    writes_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raise RecipeError for what cannot work, naming the option."""
        SftDataOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        if self.neftune_noise_alpha <= 0:
            message = f"--neftune_noise_alpha is {self.neftune_noise_alpha}; it must be above 0."
            raise RecipeError(message)
        if self.eval_with_do_generation and self.nproc_per_node * self.nnodes > 1:
            message = (
                "--eval_with_do_generation true works in one process only so far. Set it to false, "
                "or leave out --nproc_per_node and --nnodes."
            )
            raise RecipeError(message)
