"""The errors of this package: each says the value, the limit, the cause and what to do next."""

from __future__ import annotations


class DataError(ValueError):
    """Base of every error of llm_data that a user can act on; the command exits with code 2."""

    exit_code = 2


class TokenizerError(DataError):
    """A tokenizer is missing, unreadable, corrupt, or lacks a token that the job needs."""


class IndexedDataError(DataError):
    """Files of an indexed dataset are missing, truncated, or contradict each other."""


class RecordError(DataError):
    """A line of text data is not what its format asks for; the message names file and line."""


class ChatTemplateError(DataError):
    """A chat template is missing, malformed, or refuses a conversation."""


class TemplateLockError(DataError):
    """A model would be asked with other token ids than it was trained with."""


class SampleError(DataError):
    """Lengths, splits or weights asked for do not fit the data."""
