"""Files that `--input_path` means: files, folders and globs, each file once, in sorted order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_data.errors import RecordError

JSON_SUFFIXES = (".jsonl", ".json", ".jsonl.zst", ".json.zst", ".jsonl.gz", ".json.gz", ".parquet")
"""Files of records; a row of a Parquet file is one."""
TEXT_SUFFIXES = (".txt", ".txt.zst", ".txt.gz")


def format_of(inputs: Sequence[str], data_format: str) -> str:
    """ "JSON" or "TEXT"; for "auto", TEXT where the inputs hold plain text and no records."""
    if data_format != "auto":
        return data_format
    both = (*JSON_SUFFIXES, *TEXT_SUFFIXES)
    names = [file.name for text in inputs for file in _matches(text, both)]
    plain = any(name.endswith(TEXT_SUFFIXES) for name in names)
    records = any(name.endswith(JSON_SUFFIXES) for name in names)
    return "TEXT" if plain and not records else "JSON"


def expand_inputs(inputs: Sequence[str], data_format: str) -> list[Path]:
    """Files of all inputs, sorted by path.

    A folder stands for the files below it that have a suffix of the format; a file or a match of a
    glob is taken as it is, except that JSON is not read from a `.txt`.
    Raises RecordError when an input matches nothing.
    """
    suffixes = JSON_SUFFIXES if data_format == "JSON" else TEXT_SUFFIXES
    found: set[Path] = set()
    for text in inputs:
        matches = _matches(text, suffixes)
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
        message = (
            f"{wrong[0]} is plain text, and other inputs or --data_format say that records are "
            "read. Read it in a run of its own, with --data_format TEXT."
        )
        raise RecordError(message)
    tables = [file for file in files if data_format == "TEXT" and file.suffix == ".parquet"]
    if tables:
        message = f"{tables[0]} is a table. Read it without --data_format TEXT."
        raise RecordError(message)
    return files


def _matches(text: str, suffixes: tuple[str, ...]) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        inside = (item for item in path.rglob("*") if item.is_file())
        return [item for item in inside if item.name.endswith(suffixes)]
    if path.is_file():
        return [path]
    root = Path(path.anchor)
    pattern = str(path.relative_to(root))
    return [item for item in root.glob(pattern) if item.is_file()]
