"""The marker ``COMPLETE`` of a folder, with the size and SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

COMPLETE = "COMPLETE"
"""Name of the marker that is written last."""


def is_complete(folder: str | Path) -> bool:
    """Whether ``folder`` has its marker and every file has the size that the marker says."""
    folder = Path(folder)
    listed = marked_files(folder)
    return listed is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry["size"]
        for name, entry in listed.items()
    )


def verify_complete(folder: str | Path) -> list[str]:
    """Names of the files of ``folder`` that are absent or whose hash is not the marker's."""
    folder = Path(folder)
    listed = marked_files(folder)
    if listed is None:
        return [COMPLETE]
    return [
        name
        for name, entry in listed.items()
        if not (folder / name).is_file() or sha256(folder / name) != entry["sha256"]
    ]


def marked_files(folder: Path) -> dict[str, Any] | None:
    """What the marker of a folder says of its files; None where there is none that can be read."""
    try:
        content = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        files = content["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def sha256(file: Path) -> str:
    """The hash of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
