"""A model and how it answers: what predict and chat have in common."""

from __future__ import annotations

from dataclasses import dataclass

from llm_infer.options.answers import AnswerOptions
from llm_infer.options.model import ModelOptions


@dataclass(kw_only=True)
class RunOptions(ModelOptions, AnswerOptions):
    """Options of a command that answers."""

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        self.settle_model()
        self.settle_answers()
