"""Options of `llm kernels` and `llm doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.errors import UserError
from llm_cli.options import flag, option


@dataclass(kw_only=True)
class InfoOptions:
    """Say which instruction set and how many threads the native kernels use, op by op and why."""

    json: bool = flag(False, help="Print one JSON object instead of tables.")


@dataclass(kw_only=True)
class NumericsOptions:
    """Compare every native op with its NumPy reference on random inputs; exit 1 on a mismatch."""

    seed: int = option(0, help="Seed of the random shapes and numbers.")
    rounds: int = option(3, help="Random shapes of each op and instruction set.")

    def __post_init__(self) -> None:
        """Refuse a number of rounds that checks nothing."""
        if self.rounds < 1:
            message = f"--rounds is {self.rounds}; at least 1 is needed to check anything."
            raise UserError(message)


@dataclass(kw_only=True)
class DoctorOptions:
    """Look at this machine and say what is missing, and what to do about it.

    Ends with 1 where something keeps the installed packages from working.
    """

    json: bool = flag(False, help="Print one JSON object instead of tables.")
