"""Files that `--input_path` means: files, folders and globs, each file once, in sorted order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_data.errors import RecordError

JSON_SUFFIXES = (".jsonl", ".json", ".jsonl.zst", ".json.zst", ".jsonl.gz", ".json.gz")
TEXT_SUFFIXES = (".txt", ".txt.zst", ".txt.gz")


def expand_inputs(inputs: Sequence[str], data_format: str) -> list[Path]:
    """Files of all inputs, sorted by path.

    A folder stands for the files below it that have a suffix of the format; a file or a match of a
    glob is taken as it is, except that JSON is not read from a `.txt`.
    Raises RecordError when an input matches nothing.
    """
    suffixes = JSON_SUFFIXES if data_format == "JSON" else TEXT_SUFFIXES
    found: set[Path] = set()
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = (item for item in path.rglob("*") if item.is_file())
            matches = [item for item in inside if item.name.endswith(suffixes)]
        elif path.is_file():
            matches = [path]
        else:
            root = Path(path.anchor)
            pattern = str(path.relative_to(root))
            matches = [item for item in root.glob(pattern) if item.is_file()]
        if not matches:
            message = (
                f"--input_path {text} matches no file (a folder is searched for "
                f"{', '.join(suffixes)}). Check the path, or --data_format."
            )
            raise RecordError(message)
        found.update(matches)
    files = sorted(found)
    wrong = [file for file in files if data_format == "JSON" and file.name.endswith(TEXT_SUFFIXES)]
    if wrong:
        message = f"{wrong[0]} is plain text. Add --data_format TEXT to read it."
        raise RecordError(message)
    return files
