"""A model by its path alone: a folder with config.json, or a GGUF file."""

from __future__ import annotations

from pathlib import Path

from llm_convert.foreign import gguf_module
from llm_convert.model import CONFIG_FILE, Model, open_model

_MAGIC = b"GGUF"


def open_path(path: Path) -> Model:
    """Open a checkpoint folder, a GGUF file, or the folder that `--to gguf` wrote one into.

    Raises the errors of `open_model`, or those of `gguf_reading.open_gguf`.
    """
    file = gguf_file(path)
    return open_model(path) if file is None else gguf_module("reading").open_gguf(file)


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that `path` is, or the only one of a folder that states no other model."""
    if path.is_file():
        return path if path.suffix == ".gguf" or _begins_as_gguf(path) else None
    if not path.is_dir() or (path / CONFIG_FILE).exists():
        return None
    found = sorted(path.glob("*.gguf"))
    return found[0] if len(found) == 1 else None


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC
