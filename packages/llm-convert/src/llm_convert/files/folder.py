"""The weights of a checkpoint folder as one `TensorFile`, whichever files hold them.

Looks for safetensors first, then torch's and PaddlePaddle's files, each in one file or in shards
listed by an index.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from llm_convert.errors import FileFormatError
from llm_convert.files.json_file import read_json
from llm_convert.files.pdparams import open_pdparams
from llm_convert.files.safetensors import open_safetensors
from llm_convert.files.tensor_file import MappedTensors, TensorFile, TensorInfo
from llm_convert.files.torch_file import open_torch

logger = logging.getLogger(__name__)

Opener = Callable[[Path], MappedTensors]
_BY_SUFFIX: Mapping[str, Opener] = MappingProxyType(
    {
        ".safetensors": open_safetensors,
        ".bin": open_torch,
        ".pt": open_torch,
        ".pth": open_torch,
        ".pdparams": open_pdparams,
    }
)
# In order of preference; each may also come as `<name>.index.json` with shards.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model_state.pdparams")
INDEX_SUFFIX = ".index.json"
# What file systems allow; for longer names they raise errors of their own.
_LONGEST_NAME = 255


class Shards(TensorFile):
    """Tensors spread over several files by a weight map (name -> file)."""

    def __init__(self, path: Path, files: Mapping[str, TensorFile]) -> None:
        self.path = path
        self._files = dict(files)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._files[name][name]

    def info(self, name: str) -> TensorInfo:
        """Type and shape of one tensor, without reading its data. Raises KeyError."""
        return self._files[name].info(name)

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor; arrays handed out stay valid."""
        self._files[name].release(name)


_POINTER = b"version https://git-lfs"
_LONGEST_POINTER = 1024


class Found(NamedTuple):
    """Weights in a folder: the file or its index, and whether it is an index."""

    path: Path
    sharded: bool


def open_weights(path: Path, names: tuple[str, ...] = WEIGHT_FILES) -> TensorFile:
    """The tensors of a folder, or of one weight file.

    Args:
        path: a checkpoint folder or a weight file.
        names: the files to look for in a folder, in order of preference.

    Raises:
        FileFormatError: nothing found, a missing or foreign shard, or any malformed file.
    """
    if path.is_file():
        return open_index(path) if path.name.endswith(INDEX_SUFFIX) else open_file(path)
    found = find_weights(path, names)
    if found is None:
        raise FileFormatError(_nothing_found(path, names))
    return open_index(found.path) if found.sharded else open_file(found.path)


def _nothing_found(folder: Path, names: tuple[str, ...]) -> str:
    for name in names:
        stem, suffix = Path(name).stem, Path(name).suffix
        shards = sorted(folder.glob(f"{stem}-*-of-*{suffix}"))
        if shards:
            return (
                f"{folder} holds {len(shards)} shards ({shards[0].name} and so on), but not "
                f"{name}{INDEX_SUFFIX}, which says what each of them holds. Copy it there too."
            )
    return f"{folder} holds no weights: looked for {', '.join(names)} and their {INDEX_SUFFIX}."


def find_weights(folder: Path, names: tuple[str, ...] = WEIGHT_FILES) -> Found | None:
    """The preferred weights of a folder; None when there are none."""
    for name in names:
        if (folder / name).is_file():
            return Found(folder / name, sharded=False)
        if (folder / (name + INDEX_SUFFIX)).is_file():
            return Found(folder / (name + INDEX_SUFFIX), sharded=True)
    return None


def open_file(path: Path) -> MappedTensors:
    """Open one weight file by its suffix.

    Raises:
        FileFormatError: an unknown suffix, or a missing or malformed file.
    """
    opener = _BY_SUFFIX.get(path.suffix)
    if opener is None:
        message = f"{path} is no weight file; known are {', '.join(_BY_SUFFIX)}."
        raise FileFormatError(message)
    _check_fetched(path)
    return opener(path)


def _check_fetched(path: Path) -> None:
    """Refuse what Git leaves in place of a large file (https://git-lfs.com, specification)."""
    if path.is_file() and path.stat().st_size < _LONGEST_POINTER:
        with path.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                message = (
                    f"{path} is the pointer that Git LFS leaves for the file itself. Fetch it: run "
                    "`git lfs pull` in the folder it was cloned to."
                )
                raise FileFormatError(message)


def open_index(index: Path) -> Shards:
    """The shards that an index lists, all of them beside it.

    Tensors that a shard has and the index does not name are left out, with a warning: indexes of
    published checkpoints may lack buffers.

    Raises:
        FileFormatError: a malformed index, a missing or foreign shard, or one without its tensors.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        message = f"{index} has no weight_map from tensor to file."
        raise FileFormatError(message)
    for shard in weight_map.values():
        _check_name(index, shard)
    names = sorted(set(weight_map.values()))
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        message = (
            f"{index.parent} lacks {len(missing)} of {len(names)} shards: {', '.join(missing)}. "
            "Copy or download them again."
        )
        raise FileFormatError(message)
    files = {name: open_file(index.parent / name) for name in names}
    lost = [tensor for tensor, name in weight_map.items() if tensor not in files[name]]
    if lost:
        message = (
            f"{index} names {len(lost)} tensors that its shards do not hold: "
            f"{', '.join(lost[:10])}{', ...' if len(lost) > 10 else ''}."
        )
        raise FileFormatError(message)
    further = sorted({tensor for file in files.values() for tensor in file} - set(weight_map))
    if further:
        logger.warning(
            "%s does not name %d tensors of its shards, and they are left out: %s%s. If the model "
            "needs them, the index is not of these files.",
            index,
            len(further),
            ", ".join(name[:100] for name in further[:10]),
            ", ..." if len(further) > 10 else "",
        )
    return Shards(index, {tensor: files[name] for tensor, name in weight_map.items()})


def plain_name(shard: object) -> bool:
    """Whether a value of an index names a file beside it: no folders, no way up, not too long."""
    return (
        isinstance(shard, str)
        and Path(shard).name == shard
        and shard not in ("", ".", "..")
        and len(shard.encode("utf-8", "replace")) <= _LONGEST_NAME
    )


def _check_name(index: Path, shard: object) -> None:
    if not plain_name(shard):
        message = (
            f"{index} names the shard {reprlib.repr(shard)}; only files of its own folder with "
            f"names up to {_LONGEST_NAME} bytes are allowed."
        )
        raise FileFormatError(message)
