"""The shards of all ranks and stages as one file: every tensor is put together when asked for.

What a shard's shape tells comes first: a tensor that each rank holds in full is taken from rank 0,
as PaddleNLP does, and copies that differ from it are remembered in `differing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from llm_convert.errors import FileFormatError
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
    copies: dict[str, TensorFile] = {}
    for stage in stages:
        _check_same_names(stage)
        for name in stage[0]:
            if name in sources:
                copies[name] = stage[0]
            else:
                sources[name] = stage
    layout = _layout(spec, sizes, list(sources))
    splits = _splits(layout, sources, grid.tensor_degree)
    return MergedShards(folder, sources, splits, copies)


class MergedShards(TensorFile):
    """What the shards hold, in whole tensors.

    `differing`: tensor -> largest difference between the copies that ranks or stages hold of it,
    for those read so far.
    """

    def __init__(
        self,
        path: Path,
        sources: dict[str, list[TensorFile]],
        splits: dict[str, Split],
        copies: dict[str, TensorFile],
    ) -> None:
        self.path = path
        self.differing: dict[str, float] = {}
        self._sources = sources
        self._splits = splits
        self._copies = copies

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
        """One whole tensor: a new array, or rank 0's view of a tensor that is not split."""
        files, split = self._sources[name], self._splits.get(name)
        if name in self._copies:
            self._compare(name, files[:1], self._copies[name])
        if split is None:
            for file in files[1:]:
                self._compare(name, files[:1], file)
            return files[0][name]
        dtype, shape = self.info(name)
        whole = np.empty(shape, dtype)
        for rank, file in enumerate(files):
            split.put(whole, file[name], rank)
            file.release(name)
        return whole

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        for file in self._sources[name]:
            file.release(name)

    def _compare(self, name: str, first: Sequence[TensorFile], other: TensorFile) -> None:
        ours, theirs = first[0][name], other[name]
        if ours.shape != theirs.shape:
            self.differing[name] = float("inf")
        # Bits, not numbers: NaN is no difference to itself, and -0 is one to 0.
        elif not np.array_equal(_bits(ours), _bits(theirs)):
            distances = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
            largest = float(np.nanmax(distances, initial=0.0))
            self.differing[name] = max(self.differing.get(name, 0.0), largest)
        other.release(name)


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
