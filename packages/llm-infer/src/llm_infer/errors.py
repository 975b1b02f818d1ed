"""What can go wrong while running a model; every text is for the person who asked."""

from __future__ import annotations

from llm_cli.errors import UserError


class InferError(UserError):
    """A model cannot be run as asked; base of the errors below."""


class PromptTooLongError(InferError):
    """A prompt and the tokens it asks for do not fit; the text has the numbers."""


class SamplingError(InferError):
    """A sampling parameter lies outside its range, or no token can be chosen."""


class UnsupportedError(InferError):
    """An option is known, but this version or this machine cannot do it."""


class DataFileError(InferError):
    """A line of a data file cannot be used; the text names file and line."""


class EngineStoppedError(InferError):
    """The engine was closed, or failed in a step or at one request; its stream ends with this."""
