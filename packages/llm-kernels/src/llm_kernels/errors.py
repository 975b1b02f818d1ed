"""What llm-kernels raises when it cannot do what it was asked; each message names the remedy."""

from __future__ import annotations


class KernelsError(ValueError):
    """Base of the package's errors; the command line prints it as a sentence and ends with 2."""

    exit_code = 2


class ConfigError(KernelsError):
    """A `config.json` lacks a field, or states a value that cannot be read."""


class UnknownFamilyError(KernelsError):
    """No row of the family table describes this `config.json`."""


class UnsupportedSpecError(KernelsError):
    """The model is described, but this backend lacks something that its description asks for."""


class ShapeError(KernelsError):
    """An array has another shape or dtype than the model's sizes ask for."""


class NativeUnavailableError(KernelsError):
    """The compiled kernels are not built, or cannot be loaded on this machine."""
