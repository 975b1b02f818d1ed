"""Which layout a conversion writes, and whether its source is what the user said it is."""

from __future__ import annotations

from pathlib import Path

from llm_convert.convert.options import ConvertOptions
from llm_convert.errors import ConvertError
from llm_convert.saving import Naming


def expected_naming(options: ConvertOptions) -> Naming:
    """The naming that the option that named the source stands for."""
    return "hf" if options.from_torch else "paddlenlp"


def target_naming(options: ConvertOptions, path: Path, naming: str) -> Naming:
    """The layout to write for a source found to be in `naming`.

    Raises ConvertError where the source is not what the option that named it says.
    """
    stated = expected_naming(options)
    if naming != stated:
        option = "--to_torch" if options.from_torch else "--from_torch"
        message = f"{path} holds {naming} names, not {stated} ones. Name it with {option}."
        raise ConvertError(message)
    target = options.to or ("paddlenlp" if options.from_torch else "hf")
    return "hf" if target == "hf" else "paddlenlp"
