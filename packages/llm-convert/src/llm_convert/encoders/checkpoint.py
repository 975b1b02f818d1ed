"""A folder of an encoder, checked against its table before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_convert.config import ORIGIN
from llm_convert.encoders.detection import Found
from llm_convert.encoders.layout import Entries, Entry, entries
from llm_convert.errors import TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.files.tensor_file import TensorFile
from llm_convert.layout.matching import check

OTHER = {"hf": "paddlenlp", "paddlenlp": "hf"}


@dataclass(frozen=True)
class EncoderCheckpoint:
    """An encoder's weights, each tensor known by its table.

    `naming`: "hf" or "paddlenlp". `entries`: the tensors of the model, with those of further heads
    that the files hold. `stored`: entry's full name in `naming` -> name in the files.
    """

    path: Path
    config: Mapping[str, Any]
    found: Found
    naming: str
    entries: tuple[Entry, ...]
    stored: Mapping[str, str]
    files: TensorFile

    def __contains__(self, entry: Entry) -> bool:
        """Whether the files hold this tensor."""
        return self.name(entry) in self.stored

    def name(self, entry: Entry) -> str:
        """Full name of a tensor in the naming of the files."""
        return entry.names[self.naming]

    def named(self, hub: str) -> Entry:
        """The tensor of this full name on the hub."""
        return next(entry for entry in self.entries if entry.names["hf"] == hub)

    def read(self, entry: Entry, naming: str) -> np.ndarray:
        """A tensor that the files hold, as `naming` stores it; a view of the memory map."""
        array = self.files[self.stored[self.name(entry)]]
        return entry.arranged(array, self.naming, naming)

    @property
    def prefixed(self) -> bool:
        """Whether the files name the body under its prefix."""
        return any(
            self.stored.get(self.name(entry)) == self.name(entry) != entry.bare[self.naming]
            for entry in self.entries
        )

    @property
    def origin(self) -> Mapping[str, Any]:
        """What the hub's files were like, kept by an earlier conversion."""
        kept = self.config.get(ORIGIN)
        return kept if isinstance(kept, Mapping) else {}


class _Match(NamedTuple):
    naming: str
    names: Mapping[str, str]
    fit: tuple[int, int]


def open_encoder(
    path: str | Path, config: Mapping[str, Any], found: Found, expected: str = "hf"
) -> EncoderCheckpoint:
    """Open an encoder's folder and compare every name and shape with its table.

    Args:
        path: the folder; its config.json has been read already.
        expected: the naming to assume where names and shapes fit both.

    Raises:
        FileFormatError: a weight file is missing, truncated or malformed.
        ConvertError: config.json lacks a size.
        TensorMismatchError: missing, unknown and wrongly shaped tensors, all listed at once.
    """
    folder = Path(path)
    files = open_weights(folder)
    table = entries(found, config)
    ignored = [re.compile(pattern) for pattern in found.encoder.ignore]
    shapes = {
        name: files.info(name).shape
        for name in files
        if not any(pattern.search(name) for pattern in ignored)
    }
    matches = [_match(table.own, naming, shapes) for naming in (expected, OTHER[expected])]
    best = max(matches, key=lambda match: match.fit)
    own, names = _with_further(table, best, shapes)
    checkpoint = EncoderCheckpoint(folder, config, found, best.naming, own, names, files)
    _check(checkpoint, [entry for entry in own if _needed(entry, table, best, config)], shapes)
    return checkpoint


def _check(
    checkpoint: EncoderCheckpoint, needed: list[Entry], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    naming, stored = checkpoint.naming, checkpoint.stored
    prefixed = checkpoint.prefixed
    listed, held = {}, {}
    for entry in needed:
        shown = entry.names[naming] if prefixed else entry.bare[naming]
        listed[shown] = _Shape(entry.shapes[naming])
        if entry in checkpoint:
            held[shown] = stored[checkpoint.name(entry)]
    taken = set(stored.values())
    unknown = [name for name in shapes if name not in taken]
    try:
        check(listed, held, shapes, unknown, f"{checkpoint.found.hub_class}, naming {naming},")
    except TensorMismatchError as error:
        message = f"{checkpoint.files.path}: {error}"
        raise TensorMismatchError(message) from error


class _Shape(NamedTuple):
    shape: tuple[int, ...]


def _match(table: Sequence[Entry], naming: str, shapes: Mapping[str, tuple[int, ...]]) -> _Match:
    names: dict[str, str] = {}
    fit = 0
    for entry in table:
        spelt = next((name for name in entry.spellings(naming) if name and name in shapes), None)
        if spelt is not None:
            names[entry.names[naming]] = spelt
            fit += tuple(shapes[spelt]) == entry.shapes[naming]
    return _Match(naming, names, (fit, len(names)))


def _with_further(
    table: Entries, match: _Match, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[Entry, ...], dict[str, str]]:
    """The class's own tensors, and those of further heads that are whole and take no one's name."""
    own, names = table.own, dict(match.names)
    for part in table.further.values():
        claimed = {entry.names[naming] for entry in own for naming in OTHER}
        found = _match(part, match.naming, shapes).names
        free = not any(entry.names[naming] in claimed for entry in part for naming in OTHER)
        whole = all(
            entry.names[match.naming] in found
            for entry in part
            if not entry.optional and not entry.tied
        )
        if found and free and whole:
            own, names = (*own, *part), {**names, **found}
    return own, names


def _needed(entry: Entry, table: Entries, match: _Match, config: Mapping[str, Any]) -> bool:
    """Whether the files must hold a tensor; one that they hold is checked in any case."""
    name = entry.names[match.naming]
    if name in match.names or not name:
        return bool(name)
    if entry.tied and not entry.optional:
        untied = config.get("tie_word_embeddings") is False
        return bool(entry.names["paddlenlp"]) and (match.naming == "paddlenlp" or untied)
    if entry.part in table.loose:
        part = [other for other in table.own if other.part == entry.part]
        return any(other.names[match.naming] in match.names for other in part)
    return not entry.optional and entry.part not in table.further
