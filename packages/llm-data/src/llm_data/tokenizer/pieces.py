"""What tokenizers over a sentencepiece model share: loading it, and decoding around specials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from llm_data.errors import TokenizerError


def load_pieces(path: Path) -> Any:
    """The library's processor. Raises TokenizerError when the model is no sentencepiece model."""
    try:
        import sentencepiece
    except ImportError as error:
        message = (
            f"{path} is a sentencepiece model and sentencepiece is not installed. "
            "Install it with: pip install sentencepiece"
        )
        raise TokenizerError(message) from error
    model = sentencepiece.SentencePieceProcessor()
    try:
        loaded = model.LoadFromSerializedProto(path.read_bytes())
    except (OSError, RuntimeError) as error:
        loaded, cause = False, str(error)
    else:
        cause = "not a sentencepiece model"
    if not loaded:
        message = f"{path} is not a readable tokenizer ({cause}). Copy it again from its origin."
        raise TokenizerError(message)
    return model


def longest_first(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches any of `texts`, a longer one before one that it begins with; nothing if empty."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, ordered)) or "(?!)")


def decode_runs(
    ids: Sequence[int],
    apart: Callable[[int], str | None],
    known: Callable[[int], bool],
    decode: Callable[[list[int]], str],
) -> str:
    """Text of `ids`: runs of known ids are decoded together, others (`apart`) stand by themselves.

    apart: the text of an id that the model must not see, None for all that it may see.
    """
    parts: list[str] = []
    run: list[int] = []
    for token_id in map(int, ids):
        text = apart(token_id)
        if text is None:
            if known(token_id):
                run.append(token_id)
            continue
        parts.append(decode(run) if run else "")
        run = []
        parts.append(text)
    parts.append(decode(run) if run else "")
    return "".join(parts)
