"""Write an encoder in either layout, one tensor in memory at a time.

What the hub's files had and PaddleNLP has no place for - names left out because they are tied,
duplicates, old spellings - is noted in config.json, so that the way back writes the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from llm_convert.encoders.checkpoint import EncoderCheckpoint
from llm_convert.encoders.config import config_for_encoder
from llm_convert.encoders.layout import Entry, old_spelling
from llm_convert.errors import TensorMismatchError
from llm_convert.files.dtypes import floating, is_floating
from llm_convert.files.narrowing import narrowed
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.saving import Naming, write_config, write_shards
from llm_convert.shard_size import parse_size

TIED, TWINS, OLD_SPELLING = "tied", "twins", "old_spelling"


class _Output(NamedTuple):
    """A tensor to write: as which entry, from the contents of which."""

    entry: Entry
    source: Entry


class _Chosen(NamedTuple):
    """What is written, what config.json notes about it, and whether it says that heads differ."""

    outputs: list[_Output]
    notes: Mapping[str, Any] = MappingProxyType({})
    untied: bool = False


class _Plan(NamedTuple):
    outputs: Mapping[str, _Output]
    infos: Mapping[str, TensorInfo]
    chosen: _Chosen


def save_encoder(
    folder: str | Path,
    checkpoint: EncoderCheckpoint,
    *,
    naming: Naming,
    dtype: str | None = None,
    max_shard_size: str | int,
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Write config.json and weights into an existing folder (use `written_folder` around it).

    Args:
        naming: "hf" or "paddlenlp".
        dtype: type of all floating tensors; None keeps each one's own.
        max_shard_size: bytes, or a text like "4GB"; one tensor is never split.
        written: told the bytes written after each piece, for a progress bar.

    Raises:
        TensorMismatchError: a tensor that should be tied to another differs from it, and the naming
            has no place for it.
        ConvertError: max_shard_size is no size.
    """
    plan = _plan(checkpoint, naming, dtype)
    limit = parse_size(max_shard_size)
    last: list[str] = []

    def read(name: str) -> np.ndarray:
        if last:
            checkpoint.files.release(last.pop())
        entry, source = plan.outputs[name]
        last.append(checkpoint.stored[checkpoint.name(source)])
        array = checkpoint.read(source, "hf" if entry != source else naming)
        if entry != source:
            array = entry.arranged(array, "hf", naming)
        return narrowed(name, array, plan.infos[name].dtype)

    notes, untied = plan.chosen.notes, plan.chosen.untied
    config = config_for_encoder(checkpoint, naming, plan.infos, notes, untied=untied)
    write_config(Path(folder), config)
    write_shards(Path(folder), naming, plan.infos, read, limit, written)


def planned_bytes(checkpoint: EncoderCheckpoint, dtype: str | None) -> int:
    """About what will be written: every tensor of the files once."""
    infos = [checkpoint.files.info(name) for name in checkpoint.stored.values()]
    return sum(TensorInfo(_type(info.dtype, dtype), info.shape).nbytes for info in infos)


def _plan(checkpoint: EncoderCheckpoint, naming: Naming, dtype: str | None) -> _Plan:
    if checkpoint.naming == naming:
        chosen = _Chosen(_kept(checkpoint))
    else:
        chosen = _to_hub(checkpoint) if naming == "hf" else _to_paddlenlp(checkpoint)
    old = naming == "hf" and OLD_SPELLING in checkpoint.origin
    outputs: dict[str, _Output] = {}
    infos: dict[str, TensorInfo] = {}
    for output in chosen.outputs:
        name = _target_name(checkpoint, output.entry, naming)
        name = old_spelling(name) if old else name
        stored = checkpoint.files.info(checkpoint.stored[checkpoint.name(output.source)])
        outputs[name] = output
        infos[name] = TensorInfo(_type(stored.dtype, dtype), output.entry.shapes[naming])
    return _Plan(outputs, infos, chosen)


def _kept(checkpoint: EncoderCheckpoint) -> list[_Output]:
    return [_Output(entry, entry) for entry in checkpoint.entries if entry in checkpoint]


def _to_paddlenlp(checkpoint: EncoderCheckpoint) -> _Chosen:
    """What PaddleNLP needs: copies where it does not tie, no duplicates without a place."""
    outputs: list[_Output] = []
    notes: dict[str, list[str]] = {TIED: [], TWINS: []}
    untied = checkpoint.config.get("tie_word_embeddings") is False
    for entry in checkpoint.entries:
        kept, place = entry in checkpoint, entry.names["paddlenlp"]
        copied = bool(entry.tied and place and not entry.optional)
        if kept and entry.tied and not (copied and untied):
            _check_equal(checkpoint, entry)
        if kept and place:
            outputs.append(_Output(entry, entry))
        elif kept:
            notes[TWINS].append(entry.names["hf"])
        elif copied:
            outputs.append(_Output(entry, checkpoint.named(entry.tied)))
            notes[TIED].append(entry.names["hf"])
    found: dict[str, Any] = {name: names for name, names in notes.items() if names}
    return _Chosen(outputs, {**found, OLD_SPELLING: True} if _spelt_old(checkpoint) else found)


def _to_hub(checkpoint: EncoderCheckpoint) -> _Chosen:
    """What the hub's files had: no copies that were made, the duplicates that were dropped."""
    outputs: list[_Output] = []
    untied = False
    made, dropped = (checkpoint.origin.get(note) or () for note in (TIED, TWINS))
    for entry in checkpoint.entries:
        hub = entry.names["hf"]
        if entry not in checkpoint:
            if hub in dropped:
                outputs.append(_Output(entry, checkpoint.named(entry.tied)))
            continue
        differs = bool(entry.tied) and not _equal(checkpoint, entry)
        untied = untied or differs
        if differs or hub not in made:
            outputs.append(_Output(entry, entry))
    return _Chosen(outputs, untied=untied)


def _target_name(checkpoint: EncoderCheckpoint, entry: Entry, naming: Naming) -> str:
    """The body keeps its prefix where the files had one; PaddleNLP's own follows the class."""
    source = checkpoint.naming
    if source == naming:
        return checkpoint.stored[checkpoint.name(entry)]
    encoder, _, head = checkpoint.found
    both = bool(encoder.hub_prefix and encoder.paddle_prefix)
    prefixed = checkpoint.prefixed if both else not head.bare
    return entry.names[naming] if prefixed else entry.bare[naming]


def _spelt_old(checkpoint: EncoderCheckpoint) -> bool:
    if checkpoint.naming != "hf":
        return False
    stored = [
        (e, checkpoint.stored[checkpoint.name(e)]) for e in checkpoint.entries if e in checkpoint
    ]
    return any(name not in (entry.names["hf"], entry.bare["hf"]) for entry, name in stored)


def _equal(checkpoint: EncoderCheckpoint, entry: Entry) -> bool:
    other = checkpoint.named(entry.tied)
    same = np.array_equal(checkpoint.read(entry, "hf"), checkpoint.read(other, "hf"))
    for read in (entry, other):
        checkpoint.files.release(checkpoint.stored[checkpoint.name(read)])
    return same


def _check_equal(checkpoint: EncoderCheckpoint, entry: Entry) -> None:
    if _equal(checkpoint, entry):
        return
    message = (
        f"{entry.names['hf']} should repeat {entry.tied}, which it is tied to, but differs, and "
        "PaddleNLP's class has one tensor for both. Remove it if it is a left-over; a model that "
        "was trained untied cannot be converted."
    )
    raise TensorMismatchError(message)


def _type(dtype: np.dtype, wanted: str | None) -> np.dtype:
    return floating(wanted) if wanted and is_floating(dtype) else dtype
