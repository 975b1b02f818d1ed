"""Where the lines of a split are: `train.json`, `dev.json`, `quant.json`, or folders."""

from __future__ import annotations

import logging
from pathlib import Path

from llm_data.errors import RecordError

logger = logging.getLogger(__name__)
_FALLBACKS = {"quant": "train"}


def has_split(path: str | Path, split: str) -> bool:
    """Whether a folder holds files of `split` itself."""
    return bool(_own_files(Path(path).expanduser(), split))


def find_split_files(path: str | Path, split: str) -> list[Path]:
    """Files of a split, sorted. A path to a file is that file, whatever the split.

    `split.json` or `split.jsonl`, else every `*.json`/`*.jsonl` of the folder `split/`. Without
    `quant` the calibration data are those of `train` (a line in the log says so).
    Raises RecordError when there is none.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        message = f"Data {path} does not exist. Give a JSON Lines file or a folder."
        raise RecordError(message)
    found = _own_files(path, split)
    if found:
        return found
    if split in _FALLBACKS:
        logger.info("%s holds no %s data; %s is used", path, split, _FALLBACKS[split])
        return find_split_files(path, _FALLBACKS[split])
    message = f"Folder {path} holds neither {split}.json nor {split}/*.json. Add one of them."
    raise RecordError(message)


def _own_files(folder: Path, split: str) -> list[Path]:
    for suffix in (".json", ".jsonl"):
        if (folder / f"{split}{suffix}").is_file():
            return [folder / f"{split}{suffix}"]
    inner = folder / split
    return sorted([*inner.glob("*.json"), *inner.glob("*.jsonl")])
