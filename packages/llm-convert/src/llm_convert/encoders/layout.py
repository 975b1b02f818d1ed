"""A table and a config.json become the tensors of one model: names, shapes, arrangements."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from llm_convert.encoders.detection import Found
from llm_convert.encoders.table import Arrangement, Encoder, Part, Row

# How files of the first years spell the parameters of a layer norm.
LEGACY: Mapping[str, str] = {
    "LayerNorm.weight": "LayerNorm.gamma",
    "LayerNorm.bias": "LayerNorm.beta",
}


class Entry(NamedTuple):
    """One tensor of a model, by its full name (with the body's prefix) in each naming.

    `names`, `shapes`: "hf" and "paddlenlp" -> name (empty: no place for it), shape. `part`: what it
    belongs to. `bare`: naming -> name without the prefix, in files of the base model.
    """

    part: str
    names: Mapping[str, str]
    bare: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    arrangement: Arrangement
    optional: bool
    tied: str

    def spellings(self, naming: str) -> tuple[str, ...]:
        """Names that a file of this naming may hold it under, the usual one first."""
        usual = (self.names[naming], self.bare[naming])
        return (*usual, *(old_spelling(name) for name in usual)) if naming == "hf" else usual

    def arranged(self, array: np.ndarray, source: str, target: str) -> np.ndarray:
        """A tensor stored in naming `source` as naming `target` stores it; a view."""
        if source == target:
            return array
        if self.arrangement == "transposed":
            return array.T
        return array.reshape(self.shapes[target])


class Entries(NamedTuple):
    """Tensors of a class: those that it has, and of further heads (head -> tensors)."""

    own: tuple[Entry, ...]
    loose: frozenset[str]
    further: Mapping[str, tuple[Entry, ...]]


def old_spelling(name: str) -> str:
    """The name as files of the first years have it; the same where they do not differ."""
    for usual, old in LEGACY.items():
        if name.endswith(usual):
            return name.removesuffix(usual) + old
    return name


def entries(found: Found, config: Mapping[str, Any]) -> Entries:
    """The tensors of a model of this configuration.

    Raises ConvertError for a size that config.json does not state.
    """
    encoder, _, head = found
    body = {name: encoder.body[name] for name in head.body or encoder.body}
    heads = {name: encoder.heads[name] for name in head.parts}
    own = {
        name: part
        for name, part in {**body, **heads}.items()
        if part.when is None or part.when.holds(config)
    }
    return Entries(
        tuple(chain.from_iterable(_expanded(encoder, name, own[name], config) for name in own)),
        frozenset(name for name, part in own.items() if part.optional),
        {
            name: tuple(_expanded(encoder, name, part, config))
            for name, part in encoder.heads.items()
            if name not in head.parts and part.when is None and not _foreign(found, part)
        },
    )


def _foreign(found: Found, part: Part) -> bool:
    """Whether a head needs sizes of a body that this class does not have."""
    encoder, _, head = found
    if not head.body:
        return False
    known = {
        letter for name in head.body for row in encoder.body[name].rows for letter in row.shape
    }
    return any(not known.intersection(row.shape) for row in part.rows)


def _expanded(encoder: Encoder, name: str, part: Part, config: Mapping[str, Any]) -> list[Entry]:
    letters = dict.fromkeys(letter for row in part.rows for letter in row.shape)
    sizes = {
        letter: encoder.sizes[letter].read(config) for letter in letters if not letter.isdigit()
    }
    count = encoder.sizes[part.repeat].read(config) if part.repeat else 1
    return [
        _entry(encoder, name, part, row, sizes, index)
        for index in range(count)
        for row in part.rows
    ]


def _entry(
    encoder: Encoder, name: str, part: Part, row: Row, sizes: Mapping[str, int], index: int
) -> Entry:
    hub, paddle = row.hub.format(i=index), row.paddle.format(i=index)
    shape = tuple(int(size) if size.isdigit() else sizes[size] for size in row.shape)
    hub_prefix = encoder.hub_prefix if part.body else ""
    paddle_prefix = encoder.paddle_prefix if part.body and paddle else ""
    stored = {"same": shape, "transposed": shape[::-1], "boxed": (1,)}[row.arrangement]
    return Entry(
        part=name,
        names={"hf": hub_prefix + hub, "paddlenlp": paddle_prefix + paddle},
        bare={"hf": hub, "paddlenlp": paddle},
        shapes={"hf": shape, "paddlenlp": stored},
        arrangement=row.arrangement,
        optional=row.optional,
        tied=row.tied,
    )
