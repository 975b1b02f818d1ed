"""Checks of option values that several commands share. Standard library only."""

from __future__ import annotations

import logging

from llm_cli.errors import UserError

BITS = (4, 8)
logger = logging.getLogger(__name__)


def check_grid(bits: int, group_size: int, *, symmetric: bool) -> None:
    """Refuse bits, group sizes and zero points that no grid of ours has; raises UserError."""
    if bits not in BITS:
        message = f"--bits {bits} is not supported: weights are stored with 4 or 8 bits."
        raise UserError(message)
    if group_size != -1 and (group_size < 8 or group_size % 8):
        message = (
            f"--group_size {group_size} is not supported: use a multiple of 8, such as 32, 64 "
            "or 128, or -1 for one scale per output."
        )
        raise UserError(message)
    if bits == 8 and not symmetric:
        message = "--sym false needs --bits 4: 8 bit weights are stored without zero points."
        raise UserError(message)


def check_gate(verify: bool | None, max_kl: float | None) -> None:
    """Refuse a bound without the comparison that it bounds; raises UserError."""
    if max_kl is not None and (verify is False or not max_kl > 0):
        message = f"--max_kl {max_kl:g} must be above 0, and needs --verify true."
        raise UserError(message)


def check_positive(**values: int) -> None:
    """Refuse counts below 1, naming the option; raises UserError."""
    for name, value in values.items():
        if value < 1:
            message = f"--{name} {value} must be at least 1."
            raise UserError(message)


def model_length(name: str, asked: int, *trained: int) -> int:
    """The length to use when at most `asked` tokens are wanted of models trained on `trained`.

    0 among `trained`: no limit is known of that model.
    """
    shortest = min((length for length in trained if length > 0), default=asked)
    if shortest >= asked:
        return asked
    logger.info("--%s %d is reduced to %d, the length of the model.", name, asked, shortest)
    return shortest
