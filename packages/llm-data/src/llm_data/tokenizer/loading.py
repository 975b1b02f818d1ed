"""Which reader opens a tokenizer: the first row of `FORMATS` whose files are all present.

A new format is one more row. Names of models or classes play no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_data.errors import TokenizerError
from llm_data.tokenizer.interface import Tokenizer


@dataclass(frozen=True)
class Format:
    """One kind of tokenizer on disk."""

    files: tuple[str, ...]
    """All must be present; the first is the one that a path to a file may name."""
    load: Callable[[Path], Tokenizer]
    """Takes the folder."""


def _hugging_face(folder: Path) -> Tokenizer:
    from llm_data.tokenizer.hugging_face import HuggingFaceTokenizer

    return HuggingFaceTokenizer(folder)


def _sentencepiece(folder: Path) -> Tokenizer:
    from llm_data.tokenizer.sentencepiece_model import SentencePieceTokenizer

    return SentencePieceTokenizer(folder)


FORMATS: tuple[Format, ...] = (
    Format(("tokenizer.json",), _hugging_face),
    Format(("tokenizer.model",), _sentencepiece),
)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer in a folder, or the one that a file such as `tokenizer.json` belongs to.

    Raises TokenizerError when nothing is there, nothing is known, or a file is corrupt.
    """
    path = Path(path).expanduser()
    known = ", ".join(" + ".join(entry.files) for entry in FORMATS)
    if path.is_file():
        for entry in FORMATS:
            if path.name == entry.files[0]:
                return entry.load(path.parent)
        message = f"Tokenizer file {path} has a name that is not known. Known are {known}."
        raise TokenizerError(message)
    if not path.is_dir():
        message = (
            f"Tokenizer {path} does not exist. Give a folder that holds one of {known}; "
            "names on a model hub are not looked up."
        )
        raise TokenizerError(message)
    for entry in FORMATS:
        if all((path / name).is_file() for name in entry.files):
            return entry.load(path)
    present = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
    message = f"Folder {path} holds no tokenizer: one of {known} is needed, found {present}."
    raise TokenizerError(message)
