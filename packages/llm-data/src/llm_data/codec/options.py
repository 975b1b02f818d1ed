"""Options of `llm data encode` and `llm data decode`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option


@dataclass(kw_only=True)
class CodecOptions:
    """What both commands share."""

    tokenizer_name_or_path: str = option(
        help="Folder of the tokenizer.", aliases=("model_name_or_path", "tokenizer_name")
    )
    input_path: str | None = option(None, help="File to read; standard input by default.")
    output_path: str | None = option(None, help="File to write; standard output by default.")


@dataclass(kw_only=True)
class EncodeOptions(CodecOptions):
    """Turn texts into token ids.

    One JSON string a line in, one JSON list of ids a line out.
    """

    add_special_tokens: bool = flag(
        False, help="Put around each text what the tokenizer puts there, such as BOS."
    )
    parse_special: bool = flag(
        False, help="A special token that a text spells out becomes its id; else it stays text."
    )


@dataclass(kw_only=True)
class DecodeOptions(CodecOptions):
    """Turn token ids into texts.

    One JSON list of ids a line in, one JSON string a line out.
    """

    add_special_tokens: bool = flag(
        False, help="Take away what `llm data encode --add_special_tokens` puts around a text."
    )
    skip_special_tokens: bool = flag(False, help="Leave out every special token.")
