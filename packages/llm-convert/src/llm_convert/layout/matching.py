"""Do the names and shapes of a file fit a checkpoint form? Everything wrong is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from llm_convert.errors import TensorMismatchError
from llm_convert.layout.stored import StoredTensor
from llm_convert.names import Checkpoint

SHOWN = 8


def relevant(names: Iterable[str], checkpoint: Checkpoint) -> list[str]:
    """The names that are parameters: all but those of the table's ignored patterns."""
    ignored = [re.compile(pattern) for pattern in checkpoint.ignore]
    return [name for name in names if not any(pattern.search(name) for pattern in ignored)]


def in_file(
    tensors: Mapping[str, StoredTensor], names: Sequence[str], checkpoint: Checkpoint
) -> dict[str, str]:
    """Full stored name -> name in the file, for all that are there, with or without the prefix."""
    have = set(names)
    prefix = checkpoint.optional_prefix
    found = {}
    for full in tensors:
        short = full.removeprefix(prefix)
        if full in have:
            found[full] = full
        elif prefix and short in have:
            found[full] = short
    return found


def check(
    tensors: Mapping[str, StoredTensor],
    found: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    unknown: Sequence[str],
    what: str,
) -> None:
    """Raise TensorMismatchError that lists all missing, unknown and wrongly shaped tensors."""
    missing = [name for name in tensors if name not in found]
    shaped = [
        f"{found[full]} is {list(shapes[found[full]])}, expected {list(tensor.shape)}"
        for full, tensor in tensors.items()
        if full in found and tuple(shapes[found[full]]) != tensor.shape
    ]
    parts = [
        _listed(f"{len(missing)} missing", missing),
        _listed(f"{len(unknown)} unknown", unknown),
        _listed(f"{len(shaped)} of another shape", shaped),
    ]
    problems = "; ".join(part for part in parts if part)
    if problems:
        message = (
            f"The tensors do not fit {what} of {len(tensors)} tensors: {problems}. "
            "Check that config.json belongs to these weight files and that none of them is absent."
        )
        raise TensorMismatchError(message)


def _listed(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{title}: {', '.join(items[:SHOWN])}{more}"
