"""Least values of the engine's options, for every command that has them.

Imports nothing heavy: the options of commands import it.
"""

from __future__ import annotations

from collections.abc import Mapping

ENGINE_BOUNDS: dict[str, float] = {
    "block_size": 1,
    "num_blocks": 1,
    "max_batch_tokens": 1,
    "threads": 1,
}


def check_bounds(options: object, bounds: Mapping[str, float], error: type[ValueError]) -> None:
    """Raise `error` for the first option below its bound; options that are None are left out."""
    for name, low in bounds.items():
        value = getattr(options, name)
        if value is not None and not value >= low:
            message = f"--{name} is {value}; it must be at least {low}."
            raise error(message)
