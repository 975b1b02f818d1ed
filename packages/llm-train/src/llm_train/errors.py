"""What llm-train raises for the user: value, cause and remedy in the message."""

from __future__ import annotations

from llm_cli.errors import UserError


class TrainError(UserError):
    """Base of the package's errors."""


class RecipeError(TrainError):
    """Options contradict each other, or ask for what one process on this machine cannot do."""


class BatchError(TrainError):
    """A batch cannot be trained on: no token has a label, or an id has no embedding."""


class DivergedError(TrainError):
    """The loss is not a finite number any more."""


class ExhaustedError(TrainError):
    """Memory ran out while training."""


class StoppedError(TrainError):
    """The run was asked to stop, and has written a checkpoint."""

    exit_code = 130


class ResumeError(TrainError):
    """A checkpoint cannot be resumed: absent, incomplete, or of another model or run."""
