"""How long prompts and answers may be and how tokens are chosen: options of predict and chat."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import option
from llm_infer.bounds import check_bounds
from llm_infer.errors import UnsupportedError
from llm_infer.options.refusals import refuse_sampling
from llm_infer.options.template import TemplateOptions

_LENGTHS = "Lengths"
_SAMPLING = "Sampling"
_BOUNDS = {"src_length": 1, "max_length": 2, "min_length": 0, "num_beams": 1}


@dataclass(kw_only=True)
class AnswerOptions(TemplateOptions):
    """Lengths and sampling."""

    src_length: int = option(1024, help="Most tokens of a prompt.", group=_LENGTHS)
    max_length: int = option(
        2048, help="Most tokens of a prompt and its answer together.", group=_LENGTHS
    )
    total_max_length: int | None = option(
        None,
        help="PaddleNLP's bound of prompt and answer together; the lower one of it and max_length "
        "counts.",
        group=_LENGTHS,
    )
    min_length: int = option(1, help="Fewest new tokens of an answer.", group=_LENGTHS)
    decode_strategy: str = option(
        "greedy_search",
        help="greedy_search, sampling or beam_search, with the options below.",
        group=_SAMPLING,
    )
    top_k: int = option(
        1, help="Sample from this many likeliest tokens; 1 is greedy, 0 keeps all.", group=_SAMPLING
    )
    top_p: float = option(
        1.0, help="Sample from the likeliest tokens up to this probability.", group=_SAMPLING
    )
    min_p: float = option(
        0.0,
        help="Sample no token less likely than this share of the likeliest one.",
        group=_SAMPLING,
    )
    temperature: float = option(
        1.0, help="Divides the logits; 0 takes the likeliest token.", group=_SAMPLING
    )
    repetition_penalty: float = option(
        1.0, help="Above 1: tokens seen before become less likely.", group=_SAMPLING
    )
    presence_penalty: float = option(
        0.0, help="Subtracted from the logits of tokens in the answer.", group=_SAMPLING
    )
    frequency_penalty: float = option(
        0.0, help="Subtracted, times how often the answer holds the token.", group=_SAMPLING
    )
    num_beams: int = option(4, help="Width of a beam search.", group=_SAMPLING)
    length_penalty: float = option(
        1.0,
        help="Beams are compared by log probability / length ** length_penalty.",
        group=_SAMPLING,
    )
    early_stopping: str = option(
        "false",
        help="End a beam search with num_beams finished answers (true), when no running beam looks "
        "better (false), or when none can become better (never).",
        choices=("false", "true", "never"),
        group=_SAMPLING,
    )
    seed: int | None = option(
        None, help="Makes samples repeatable; line i of a file uses seed + i.", group=_SAMPLING
    )
    stop: list[str] = option(
        [], help="Text that ends an answer and is not part of it; may be repeated.", group=_SAMPLING
    )
    timeout_s: float | None = option(
        None, help="Seconds after which an answer ends as it is.", group=_SAMPLING
    )

    def settle_answers(self) -> None:
        """Give synonyms their meaning and refuse what cannot be. Raises UnsupportedError."""
        refuse_sampling(self)
        check_bounds(self, _BOUNDS | {"total_max_length": 2}, UnsupportedError)
        if self.total_max_length is not None:
            self.max_length = min(self.max_length, self.total_max_length)
