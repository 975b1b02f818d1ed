"""The errors of llm-quant that a user can act on."""

from __future__ import annotations


class QuantError(ValueError):
    """A quantization or report cannot be done as asked; the message says what to change."""

    exit_code = 2


class GroupSizeError(QuantError):
    """The group size does not divide the input width of some linear layers."""


class CalibrationError(QuantError):
    """The calibration or evaluation data is missing, empty or does not fit the model."""


class WorkFolderError(QuantError):
    """The work folder of an interrupted run cannot be used."""
