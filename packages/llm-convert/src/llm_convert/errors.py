"""What can go wrong with checkpoints, told to the user; every class ends a command with code 2."""

from __future__ import annotations


class ConvertError(ValueError):
    """A checkpoint cannot be used as it is: the folder, its config.json or the request is wrong."""

    exit_code = 2


class FileFormatError(ConvertError):
    """A weight file is missing, truncated or malformed; the message says where."""


class UnsafePickleError(ConvertError):
    """A pickle asks for something other than rebuilding tensors; nothing of it was executed."""


class TensorMismatchError(ConvertError):
    """Missing, unknown or wrongly shaped tensors, all listed at once."""


class QuantizationError(ConvertError):
    """A quantization_config that is not supported, or quantized tensors that contradict it."""


class AdapterError(ConvertError):
    """A LoRA adapter that does not fit its configuration or its base model."""
