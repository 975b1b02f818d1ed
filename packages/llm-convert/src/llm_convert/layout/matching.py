"""Do the names and shapes of a file fit a checkpoint form? Everything wrong is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Protocol

from llm_convert.errors import TensorMismatchError
from llm_convert.layout.stored import StoredTensor
from llm_convert.names import Checkpoint

SHOWN = 24
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def relevant(names: Iterable[str], checkpoint: Checkpoint) -> list[str]:
    """The names that are parameters: all but those of the table's ignored patterns."""
    ignored = [re.compile(pattern) for pattern in checkpoint.ignore]
    return [name for name in names if not any(pattern.search(name) for pattern in ignored)]


def further(names: Sequence[str], checkpoint: Checkpoint, layers: int) -> list[str]:
    """The names of layers behind the `layers` of the model that predict further tokens.

    Only such a layer has the table's `predictor`; any other one is unknown.
    """
    if not checkpoint.predictor:
        return []
    have, found = set(names), list[str]()
    for layer in count(layers):
        full = checkpoint.predictor.format(layer=layer)
        spellings = (full, full.removeprefix(checkpoint.optional_prefix))
        mark = next((name for name in spellings if name in have), None)
        if mark is None:
            return found
        start, _, _ = mark.partition(f".{layer}.")
        found += [name for name in names if name.startswith(f"{start}.{layer}.")]
    raise AssertionError


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


class Shaped(Protocol):
    """Whatever has the shape that a tensor must have in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the file."""


def check(
    tensors: Mapping[str, Shaped],
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
    groups = folded(items)
    more = f" and {len(groups) - SHOWN} more kinds" if len(groups) > SHOWN else ""
    return f"{title}: {', '.join(groups[:SHOWN])}{more}"


def folded(names: Sequence[str]) -> list[str]:
    """Names that differ in numbers only, as one: `layers.{0-30,32}.q.weight`, in their order.

    Where several numbers differ, each is `*`, and how many names there are follows.
    """
    groups: dict[str, list[list[int]]] = {}
    for name in names:
        numbers = [int(number) for number in _NUMBER.findall(name)]
        groups.setdefault(_NUMBER.sub("*", name), []).append(numbers)
    return [_pattern(shape, numbers) for shape, numbers in groups.items()]


def _pattern(shape: str, numbers: list[list[int]]) -> str:
    columns = [sorted(set(column)) for column in zip(*numbers, strict=True)]
    varying = [column for column in columns if len(column) > 1]
    if len(varying) > 1:
        return f"{shape} ({len(numbers)} of them)"
    for column in columns:
        shape = shape.replace("*", _ranges(column), 1)
    return shape


def _ranges(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{{{','.join(shown)}}}"
