"""Options of `llm train pretrain`, with the names of PaddleNLP's run_pretrain."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_train.errors import RecipeError
from llm_train.training_options import TrainingOptions

_DATA = "Data"


@dataclass(kw_only=True)
class PretrainOptions(TrainingOptions):
    """Train a model on packed text, from new weights or from a checkpoint's.

    input_dir holds .bin/.idx files of `llm data tokenize`. The result is a model folder in
    PaddleNLP's layout.
    """

    input_dir: str | None = option(
        None,
        help="Folder or prefix of .bin/.idx files, or several as `weight prefix weight prefix`.",
        group=_DATA,
    )
    split: str = option(
        "949,50,1", help="Shares of the documents to train on, evaluate and test.", group=_DATA
    )
    max_seq_length: int = option(1024, help="Tokens of a sample.", group=_DATA)
    min_learning_rate: float = option(
        1e-5, help="Where the linear and the cosine schedule end.", group="Learning rate"
    )
    eval_iters: int = option(
        10, help="max_evaluate_steps where that is not given; -1: all.", group="Watching"
    )
    test_iters: int = option(
        -1, help="max_test_steps where that is not given; -1: all.", group="Watching"
    )
    data_impl: str = option("mmap", help="How the data is read.", choices=("mmap",), group=_DATA)
    skip_warmup: bool = flag(True, help="Has no effect: files are mapped, not read ahead.")
    share_folder: bool = flag(False, help="Has no effect: no index is built.")
    data_cache: str | None = option(None, help="Has no effect: no index is built.")

    def __post_init__(self) -> None:
        """Raise RecipeError for what cannot work, naming the option."""
        super().__post_init__()
        if self.max_seq_length < 1:
            message = f"--max_seq_length is {self.max_seq_length}; it must be at least 1."
            raise RecipeError(message)
        if self.max_evaluate_steps is None:
            self.max_evaluate_steps = self.eval_iters
        if self.max_test_steps is None:
            self.max_test_steps = self.test_iters
