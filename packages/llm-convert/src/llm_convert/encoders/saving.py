"""Write an encoder in either layout, one tensor in memory at a time.

What the hub's files had and PaddleNLP has no place for - names left out because they are tied,
duplicates, old spellings - is noted in config.json, so that the way back writes the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_convert.encoders.checkpoint import EncoderCheckpoint
from llm_convert.encoders.config import config_for_encoder
from llm_convert.encoders.layout import Entry, old_spelling
from llm_convert.errors import TensorMismatchError
from llm_convert.files.dtypes import floating, is_floating
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.saving import Naming, parse_size, write_config, write_shards

TIED, TWINS, OLD_SPELLING = "tied", "twins", "old_spelling"


class _Output(NamedTuple):
    """A tensor to write: as which entry, from the contents of which."""

    entry: Entry
    source: Entry


class _Plan(NamedTuple):
    outputs: dict[str, _Output]
    infos: dict[str, TensorInfo]
    notes: dict[str, Any]
    untied: bool


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
        return array.astype(plan.infos[name].dtype, copy=False)

    config = config_for_encoder(checkpoint, naming, plan.infos, plan.notes, untied=plan.untied)
    write_config(Path(folder), config)
    write_shards(Path(folder), naming, plan.infos, read, limit, written)


def planned_bytes(checkpoint: EncoderCheckpoint, dtype: str | None) -> int:
    """About what will be written: every tensor of the files once."""
    infos = [checkpoint.files.info(name) for name in checkpoint.stored.values()]
    return sum(TensorInfo(_type(info.dtype, dtype), info.shape).nbytes for info in infos)


def _plan(checkpoint: EncoderCheckpoint, naming: Naming, dtype: str | None) -> _Plan:
    outputs, notes, untied = _outputs(checkpoint, naming)
    named: dict[str, _Output] = {}
    infos: dict[str, TensorInfo] = {}
    old = naming == "hf" and bool(_noted(checkpoint, OLD_SPELLING))
    for output in outputs:
        name = _target_name(checkpoint, output.entry, naming)
        name = old_spelling(name) if old else name
        stored = checkpoint.files.info(checkpoint.stored[checkpoint.name(output.source)])
        named[name] = output
        infos[name] = TensorInfo(_type(stored.dtype, dtype), output.entry.shapes[naming])
    return _Plan(named, infos, notes, untied)


def _outputs(
    checkpoint: EncoderCheckpoint, naming: Naming
) -> tuple[list[_Output], dict[str, Any], bool]:
    outputs: list[_Output] = []
    tied, twins, untied = [], [], False
    crossing = checkpoint.naming != naming
    for entry in checkpoint.entries:
        hub = entry.names["hf"]
        kept = entry in checkpoint
        if kept and not (crossing and entry.tied):
            outputs.append(_Output(entry, entry))
        elif not (crossing and entry.tied):
            continue
        elif naming == "paddlenlp":
            other = checkpoint.named(entry.tied)
            if entry.names[naming]:
                outputs.append(_Output(entry, entry if kept else other))
                tied += [] if kept else [hub]
            elif kept:
                _check_equal(checkpoint, entry, other)
                twins.append(hub)
        else:
            other = checkpoint.named(entry.tied)
            differs = kept and not _equal(checkpoint, entry, other)
            untied = untied or differs
            if kept and (differs or hub not in _noted(checkpoint, TIED)):
                outputs.append(_Output(entry, entry))
            elif not kept and hub in _noted(checkpoint, TWINS):
                outputs.append(_Output(entry, other))
    notes: dict[str, Any] = {TIED: tied, TWINS: twins, OLD_SPELLING: _spelt_old(checkpoint)}
    return outputs, {name: value for name, value in notes.items() if value}, untied


def _target_name(checkpoint: EncoderCheckpoint, entry: Entry, naming: Naming) -> str:
    """The body keeps its prefix where the files had one; PaddleNLP's own follows the class."""
    source = checkpoint.naming
    if source == naming:
        return checkpoint.stored[checkpoint.name(entry)]
    encoder, _, head = checkpoint.found
    both = bool(encoder.hub_prefix and encoder.paddle_prefix)
    prefixed = checkpoint.prefixed if both else not head.bare
    return entry.names[naming] if prefixed else entry.bare[naming]


def _noted(checkpoint: EncoderCheckpoint, note: str) -> Any:
    return checkpoint.origin.get(note) or ()


def _spelt_old(checkpoint: EncoderCheckpoint) -> bool:
    if checkpoint.naming != "hf":
        return False
    stored = [
        (e, checkpoint.stored[checkpoint.name(e)]) for e in checkpoint.entries if e in checkpoint
    ]
    return any(name not in (entry.names["hf"], entry.bare["hf"]) for entry, name in stored)


def _equal(checkpoint: EncoderCheckpoint, one: Entry, other: Entry) -> bool:
    return np.array_equal(checkpoint.read(one, "hf"), checkpoint.read(other, "hf"))


def _check_equal(checkpoint: EncoderCheckpoint, twin: Entry, other: Entry) -> None:
    if _equal(checkpoint, twin, other):
        return
    message = (
        f"{twin.names['hf']} should equal {other.names['hf']}, which it is tied to, but differs; "
        "PaddleNLP has one place for both. Set tie_word_embeddings to false in config.json if the "
        "model was trained so, or remove the tensor."
    )
    raise TensorMismatchError(message)


def _type(dtype: np.dtype, wanted: str | None) -> np.dtype:
    return floating(wanted) if wanted and is_floating(dtype) else dtype
