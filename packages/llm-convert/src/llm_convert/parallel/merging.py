"""The shards of all ranks and stages as one file: every tensor is put together when asked for.

What a shard's shape tells comes first: a tensor that each rank holds in full is taken from rank 0,
as PaddleNLP does. All copies of it, of other ranks and stages, must be the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from llm_convert.errors import FileFormatError
from llm_convert.files.page_memory import PageMemory
from llm_convert.files.tensor_file import TensorFile, TensorInfo
from llm_convert.layout import Layout
from llm_convert.layout.matching import folded, in_file
from llm_convert.names import checkpoint
from llm_convert.parallel.grid import Grid
from llm_convert.parallel.splitting import Split, split_of, twin
from llm_kernels.families import FamilySpec, Sizes

NAMING: Literal["paddlenlp"] = "paddlenlp"


def open_shards(
    folder: Path, grid: Grid, spec: FamilySpec, sizes: Sizes, *, degree: object = None
) -> MergedShards:
    """The shards that `find_shards` found, for a model of this family and these sizes.

    `degree`: the tensor parallel degree that config.json states, if any.

    Raises:
        FileFormatError: a malformed shard, ranks that hold different tensors, or fewer or more
            ranks than stated.
        ConvertError: heads or widths that so many ranks cannot share.
    """
    if isinstance(degree, int) and degree > 1 and degree != grid.tensor_degree:
        message = (
            f"{folder} holds the shards of {grid.tensor_degree} tensor parallel ranks, and its "
            f"config.json says that there were {degree}. Copy all of them there."
        )
        raise FileFormatError(message)
    stages = grid.open()
    sources: dict[str, list[TensorFile]] = {}
    copies: dict[str, list[list[TensorFile]]] = {}
    for stage in stages:
        _check_same_names(stage)
        for name in stage[0]:
            if name in sources:
                copies.setdefault(name, []).append(stage)
            else:
                sources[name] = stage
    layout = _layout(spec, sizes, list(sources))
    splits = _splits(layout, sources, grid.tensor_degree)
    return MergedShards(folder, sources, splits, copies)


class MergedShards(TensorFile):
    """What the shards hold, in whole tensors.

    `copies`: the ranks of the other stages that hold a tensor too.
    """

    def __init__(
        self,
        path: Path,
        sources: dict[str, list[TensorFile]],
        splits: dict[str, Split],
        copies: dict[str, list[list[TensorFile]]],
    ) -> None:
        self.path = path
        self._sources = sources
        self._splits = splits
        self._copies = copies
        self._memory = PageMemory()

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def info(self, name: str) -> TensorInfo:
        """Type and shape of one whole tensor, without reading its data. Raises KeyError."""
        info, split = self._sources[name][0].info(name), self._splits.get(name)
        if split is None:
            return info
        axis, degree = split.axis, len(split.ranges)
        shape = (*info.shape[:axis], info.shape[axis] * degree, *info.shape[axis + 1 :])
        return info._replace(shape=shape)

    def __getitem__(self, name: str) -> np.ndarray:
        """One whole tensor: a new array, or rank 0's view of a tensor that is not split.

        Raises FileFormatError where ranks or stages hold other values for the same numbers.
        """
        files, split = self._sources[name], self._splits.get(name)
        self._check_copies(name)
        if split is None:
            return files[0][name]
        dtype, shape = self.info(name)
        whole = self._memory.array(shape, dtype)
        for rank, file in enumerate(files):
            split.put(whole, file[name], rank)
            file.release(name)
        return whole

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        for file in self._sources[name]:
            file.release(name)

    def _check_copies(self, name: str) -> None:
        files, stages = self._sources[name], self._copies.get(name, [])
        if name in self._splits:
            pairs = [pair for stage in stages for pair in zip(files, stage, strict=True)]
        else:
            others = [*files[1:], *(file for stage in stages for file in stage)]
            pairs = [(files[0], other) for other in others]
        found = [told for first, other in pairs if (told := _difference(name, first, other))]
        if found:
            message = (
                f"{self.path} holds several copies of {name}, which must be the same bit by bit: "
                f"{'; '.join(found)}. Are all shards of one checkpoint and one step? Copy them "
                "again."
            )
            raise FileFormatError(message)


def _difference(name: str, first: TensorFile, other: TensorFile) -> str | None:
    """What tells two copies apart; None where they are the same."""
    if first.info(name) != other.info(name):
        return f"{other.path.name} has another type or shape than {first.path.name}"
    ours, theirs = first[name], other[name]
    # Bits, not numbers: NaN is no difference to itself, and -0 is one to 0.
    if np.array_equal(_bits(ours), _bits(theirs)):
        other.release(name)
        return None
    count = int((_bits(ours) != _bits(theirs)).reshape(ours.size, -1).any(axis=1).sum())
    distances = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    largest = float(np.nanmax(distances, initial=0.0))
    other.release(name)
    return (
        f"{other.path.name} differs from {first.path.name} in {count} of {ours.size} numbers, by "
        f"up to {largest:.3g}"
    )


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _check_same_names(ranks: Sequence[TensorFile]) -> None:
    for rank in ranks[1:]:
        odd = sorted(set(rank) ^ set(ranks[0]))
        if odd:
            message = (
                f"{rank.path} and {ranks[0].path.name} must hold the same tensors; only one of "
                f"them has {', '.join(folded(odd)[:10])}. Are all shards of one checkpoint?"
            )
            raise FileFormatError(message)
        types = [name for name in rank if rank.info(name) != ranks[0].info(name)]
        if types:
            message = (
                f"{rank.path} and {ranks[0].path.name} hold {', '.join(folded(types)[:10])} in "
                "different types or shapes. Are all shards of one checkpoint?"
            )
            raise FileFormatError(message)


def _layout(spec: FamilySpec, sizes: Sizes, names: Sequence[str]) -> Layout:
    """The form (fused or not) whose names the shards have most of."""
    forms = [Layout.of(spec, sizes, NAMING, form) for form in checkpoint(spec, NAMING).forms()]

    def known(layout: Layout) -> float:
        return len(in_file(layout.tensors, names, layout.checkpoint)) / len(layout.tensors)

    return max(forms, key=known)


def _splits(layout: Layout, sources: dict[str, list[TensorFile]], degree: int) -> dict[str, Split]:
    found = in_file(layout.tensors, list(sources), layout.checkpoint)
    held = {name: layout.tensors[full] for full, name in found.items()}
    head = layout.checkpoint.head
    if layout.sizes.tied and head in sources:
        # A pipeline's last stage keeps the embedding's table a second time, as its head.
        held[head] = twin(head, (layout.sizes.vocab, layout.sizes.embed_dim))
    splits = {}
    for name, stored in held.items():
        shape = sources[name][0].info(name).shape
        if shape == stored.shape:
            continue
        split = split_of(stored, layout.checkpoint, layout.sizes, degree)
        if split is not None and shape == split.share_shape(stored.shape):
            splits[name] = split
    return splits
