"""What is said when no input file gives a single document: why, how often, and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_data.errors import RecordError
from llm_data.json_lines import parse_object
from llm_data.sources.blocks import Position, read_blocks
from llm_data.sources.documents import Documents, TextFormat, raw_documents


def no_document(
    inputs: Sequence[str], paths: Sequence[Path], counts: Documents, form: TextFormat
) -> RecordError:
    """The error for `inputs` (as the user named them), `paths` being their files."""
    head = f"No document in {', '.join(inputs)}"
    if not counts.dropped:
        return RecordError(f"{head}: the input is empty. Name other files with --input_path.")
    reasons = ", ".join(
        f"{reason} ({count:,} {form.unit}{'s' * (count > 1)}, first {counts.places[reason][0]})"
        for reason, count in sorted(counts.dropped.items(), key=lambda item: -item[1])
    )
    return RecordError(f"{head}: {reasons}. {_cure(paths, form)}")


def _cure(paths: Sequence[Path], form: TextFormat) -> str:
    if form.data_format != "JSON":
        return "Name other files with --input_path."
    keys = [key for key in _first_keys(paths, form) if key != form.json_key]
    if not keys:
        return "Mend the lines, or name other files with --input_path."
    return (
        f"The first line has {', '.join(map(repr, keys))}: name the field that holds the text with "
        f"--json_key (it is {form.json_key!r} now)."
    )


def _first_keys(paths: Sequence[Path], form: TextFormat) -> list[str]:
    for block in read_blocks(paths, "line", start=Position(), column=form.json_key):
        for piece in block.pieces:
            for _, raw in raw_documents(piece, "line"):
                try:
                    return list(parse_object(raw))
                except RecordError:
                    return []
    return []
