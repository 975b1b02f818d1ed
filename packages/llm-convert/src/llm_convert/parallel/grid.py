"""How the shards of a checkpoint folder are called, and which of them make one checkpoint.

`model_state.tp01_pp00.pdparams` is tensor parallel rank 1 of pipeline stage 0; a rank's shard may
itself come in several files with an index. Also with `model` and `.safetensors`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from llm_convert.errors import FileFormatError
from llm_convert.files.folder import INDEX_SUFFIX, open_file, open_index
from llm_convert.files.tensor_file import TensorFile

# In order of preference, as for whole weights.
STEMS = (("model", "safetensors"), ("model_state", "pdparams"))
_AXES = ("tp", "pp")
_SUFFIX = re.compile(r"[a-z]+\d{2,}(_[a-z]+\d{2,})*")


@dataclass(frozen=True)
class Grid:
    """The shards of one checkpoint.

    `files`: by stage, then by rank: a weight file, or an index of several.
    """

    files: tuple[tuple[Path, ...], ...]

    @property
    def tensor_degree(self) -> int:
        """Number of tensor parallel ranks."""
        return len(self.files[0])

    @property
    def pipeline_degree(self) -> int:
        """Number of pipeline stages."""
        return len(self.files)

    def open(self) -> list[list[TensorFile]]:
        """All shards, by stage and rank. Raises FileFormatError for a malformed one."""
        return [[_open(path) for path in stage] for stage in self.files]

    def __str__(self) -> str:
        return f"{self.tensor_degree} tensor parallel x {self.pipeline_degree} pipeline shards"


def find_shards(folder: Path) -> Grid | None:
    """The shards in a folder; None where there are none.

    Raises FileFormatError where some are missing, or where they are of a parallelism that is not
    supported (experts, optimizer sharding).
    """
    for stem, ending in STEMS:
        found = _found(folder, stem, ending)
        if found:
            return _grid(folder, found)
    return None


def shard_name(stem: str, ending: str, suffix: str) -> str:
    """Name of one shard: `model_state.tp00.pdparams`."""
    return f"{stem}.{suffix}.{ending}"


def suffix_of(tensor: tuple[int, int], pipeline: tuple[int, int]) -> str:
    """PaddleNLP's word for a shard, from (rank, degree) of both axes: `tp01_pp00`."""
    pairs = zip(_AXES, (tensor, pipeline), strict=True)
    return "_".join(f"{axis}{rank:02d}" for axis, (rank, degree) in pairs if degree > 1)


def _found(folder: Path, stem: str, ending: str) -> dict[str, Path]:
    """Suffix -> file or index."""
    found = {}
    patterns = (
        (f"{stem}.*.{ending}", rf"{stem}\.({_SUFFIX.pattern})\.{ending}"),
        (
            f"{stem}.{ending}.index.*.json",
            rf"{stem}\.{ending}\.index\.({_SUFFIX.pattern})\.json",
        ),
    )
    for glob, pattern in patterns:
        for path in folder.glob(glob):
            match = re.fullmatch(pattern, path.name)
            if match:
                found[match[1]] = path
    return found


def _grid(folder: Path, found: dict[str, Path]) -> Grid:
    places: dict[tuple[int, int], Path] = {}
    for suffix, path in found.items():
        ranks = {axis: int(rank) for axis, rank in re.findall(r"([a-z]+)(\d+)", suffix)}
        other = sorted(ranks.keys() - set(_AXES))
        if other:
            message = (
                f"{path} is a shard of another parallelism ({', '.join(other)}) than tensor (tp) "
                "and pipeline (pp). Merge it with the tool that trained the model, or save a "
                "unified checkpoint there."
            )
            raise FileFormatError(message)
        places[ranks.get("pp", 0), ranks.get("tp", 0)] = path
    stages = 1 + max(stage for stage, _ in places)
    ranks_ = 1 + max(rank for _, rank in places)
    missing = [
        suffix_of((rank, ranks_), (stage, stages))
        for stage in range(stages)
        for rank in range(ranks_)
        if (stage, rank) not in places
    ]
    if missing:
        message = (
            f"{folder} lacks {len(missing)} of {stages * ranks_} shards: {', '.join(missing)}. "
            "Copy them there: every rank saves its own."
        )
        raise FileFormatError(message)
    return Grid(
        tuple(tuple(places[stage, rank] for rank in range(ranks_)) for stage in range(stages))
    )


def _open(path: Path) -> TensorFile:
    return open_index(path) if path.suffix == INDEX_SUFFIX[-5:] else open_file(path)
