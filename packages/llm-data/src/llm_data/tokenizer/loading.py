"""Which reader opens a tokenizer: the first row of `FORMATS` whose files are all present.

A new format is one more row. Names of models play no part; the class that tokenizer_config.json
names only tells the readers what their files leave open.
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
    """Patterns; a file must match each. The first is the one that a path to a file may name."""
    load: Callable[[Path], Tokenizer]
    """Takes the file that matches the first pattern."""
    fits: Callable[[Path], bool] = lambda _: True
    """Whether that file is of this kind, where names alone do not tell."""

    def find(self, folder: Path) -> Path | None:
        """The main file in `folder`, None if it holds no tokenizer of this kind."""
        found = [next(iter(sorted(folder.glob(pattern))), None) for pattern in self.files]
        main = found[0]
        return main if main is not None and all(found) and self.fits(main) else None


def _hugging_face(file: Path) -> Tokenizer:
    from llm_data.tokenizer.hugging_face import HuggingFaceTokenizer

    return HuggingFaceTokenizer(file.parent)


def _ice_text(file: Path) -> Tokenizer:
    from llm_data.tokenizer.ice_text import IceTextTokenizer

    return IceTextTokenizer(file.parent)


def _tiktoken(file: Path) -> Tokenizer:
    from llm_data.tokenizer.tiktoken_file import TiktokenTokenizer

    return TiktokenTokenizer(file)


def _is_rank_file(file: Path) -> bool:
    from llm_data.tokenizer.tiktoken_file import is_rank_file

    return is_rank_file(file)


def _sentencepiece(file: Path) -> Tokenizer:
    from llm_data.tokenizer.sentencepiece_model import SentencePieceTokenizer

    return SentencePieceTokenizer(file)


def _byte_level(file: Path) -> Tokenizer:
    from llm_data.tokenizer.byte_level import read_byte_level, read_byte_level_special
    from llm_data.tokenizer.hugging_face import HuggingFaceTokenizer

    return HuggingFaceTokenizer(file.parent, read_byte_level, read_byte_level_special)


FORMATS: tuple[Format, ...] = (
    Format(("tokenizer.json",), _hugging_face),
    Format(("ice_text.model",), _ice_text),
    Format(("*.tiktoken",), _tiktoken),
    Format(("tokenizer.model",), _tiktoken, _is_rank_file),
    Format(("tokenizer.model",), _sentencepiece),
    Format(("sentencepiece.bpe.model",), _sentencepiece),
    Format(("vocab.json", "merges.txt"), _byte_level),
)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer in a folder, or the one that a file such as `tokenizer.json` belongs to.

    Raises TokenizerError when nothing is there, nothing is known, or a file is corrupt.
    """
    path = Path(path).expanduser()
    known = ", ".join(dict.fromkeys(" + ".join(entry.files) for entry in FORMATS))
    if path.is_file():
        for entry in FORMATS:
            if path.match(entry.files[0]) and entry.find(path.parent) and entry.fits(path):
                return entry.load(path)
        message = (
            f"Tokenizer file {path} has a name that is not known, or lacks one that belongs to it. "
            f"Known are {known}."
        )
        raise TokenizerError(message)
    if not path.is_dir():
        message = (
            f"Tokenizer {path} does not exist. Give a folder that holds one of {known}; "
            "names on a model hub are not looked up."
        )
        raise TokenizerError(message)
    for entry in FORMATS:
        file = entry.find(path)
        if file is not None:
            return entry.load(file)
    present = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
    message = f"Folder {path} holds no tokenizer: one of {known} is needed, found {present}."
    raise TokenizerError(message)
