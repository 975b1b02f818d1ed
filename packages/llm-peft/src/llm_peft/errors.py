"""What llm-peft raises for the user: value, cause and remedy in the message."""

from __future__ import annotations

from llm_cli.errors import UserError


class PeftError(UserError):
    """Base of the package's errors."""


class LoraOptionError(PeftError):
    """An option of the adapter contradicts another, or is not there yet."""


class TargetError(PeftError):
    """A target module that the model does not have, or that no adapter can be put on."""


class BaseError(PeftError):
    """No base model is named, and the adapter names none that is here."""


class CertificateError(PeftError):
    """The merged model does not answer as base and adapter do; nothing was written."""
