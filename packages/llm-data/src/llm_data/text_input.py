"""The options of commands that read text: which files, and what one document is."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option


@dataclass(kw_only=True)
class TextInputOptions:
    """Base of the options of such a command; `llm_data.sources` reads what they name."""

    input_path: list[str] = option(help="Files, folders or globs of text.", group="Input")
    data_format: str = option(
        "auto",
        help="JSON: one object a line (.jsonl, also .zst and .gz) or a row (.parquet); TEXT: plain "
        "text; auto: TEXT for .txt, else JSON.",
        choices=("auto", "JSON", "TEXT"),
        group="Input",
    )
    json_key: str = option("text", help="Field that holds the text.", group="Input")
    text_document: str = option(
        "file",
        help="For TEXT: what one document is.",
        choices=("file", "line", "paragraph"),
        group="Input",
    )
    strict: bool = flag(
        False, help="Stop at the first line without text instead of counting it.", group="Input"
    )
