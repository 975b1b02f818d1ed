"""The fast tokenizer library (gigatoken, extra `fast`), used where it gives the very same ids.

A `FastRecipe` says how it opens a tokenizer; it can be sent to other processes. Whether ids are
equal is tried on a sample when a run begins (`fast_recipe`) and now and then while it runs.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_data.errors import TokenizerError
from llm_data.indexed.layout import IntArray
from llm_data.tokenize.probes import PROBES
from llm_data.tokenizer import Tokenizer
from llm_data.tokenizer.hugging_face import HuggingFaceTokenizer
from llm_data.tokenizer.patterns import LLAMA3_PATTERN, QWEN_PATTERN
from llm_data.tokenizer.sentencepiece_model import SentencePieceTokenizer
from llm_data.tokenizer.tiktoken_file import TiktokenTokenizer

logger = logging.getLogger(__name__)
_FEW = 256
_LONG = 500
"""Characters of a text that is worth a call of its own."""
_PATTERNS = {QWEN_PATTERN: "qwen2", LLAMA3_PATTERN: "gpt4"}
"""What the library calls the expressions that cut words."""


@dataclass(frozen=True)
class FastRecipe:
    """How the library opens a tokenizer."""

    kind: str
    """"json": `source` is the text of a tokenizer.json; "ranks", "pieces": a path."""
    source: str
    pattern: str = ""
    normalize: bool = False


class FastEncoder:
    """A `TextEncoder` over the library."""

    def __init__(self, recipe: FastRecipe) -> None:
        """Raises what the library raises for a tokenizer that it does not know, or ImportError."""
        import gigatoken

        self.recipe = recipe
        if recipe.kind == "json":
            self._library = gigatoken.Tokenizer.from_json(recipe.source)
        elif recipe.kind == "ranks":
            self._library = gigatoken.Tokenizer.from_tiktoken(recipe.source, recipe.pattern, {})
        else:
            self._library = _of_pieces(gigatoken.Tokenizer, Path(recipe.source))

    def encode(self, texts: Sequence[str]) -> tuple[IntArray, IntArray]:
        """See `TextEncoder`."""
        batch = list(texts)
        if self.recipe.normalize:
            batch = [unicodedata.normalize("NFC", text) for text in batch]
        if len(batch) > _FEW and sum(map(len, batch)) < _LONG * len(batch):
            return self._together(batch)
        # One by one costs less than half a second of importing awkward, unless they are short.
        rows = [self._library.backend.encode(text) for text in batch]
        sizes = np.asarray([row.size for row in rows], dtype=np.int64)
        return np.concatenate(rows or [np.empty(0, np.uint32)]), sizes

    def _together(self, batch: list[str]) -> tuple[IntArray, IntArray]:
        import awkward

        rows: Any = self._library.encode_batch(batch, parallel=False)
        sizes = np.asarray(awkward.to_numpy(awkward.num(rows)), dtype=np.int64)
        return np.asarray(awkward.to_numpy(awkward.flatten(rows, axis=1))), sizes


def _of_pieces(library: Any, path: Path) -> Any:
    """A sentencepiece model, in which the texts of control symbols stay text."""
    try:
        from gigatoken._load.sentencepiece import sentencepiece_to_tokenizer_json
    except ImportError:
        return library.from_sentencepiece(str(path))
    content = json.loads(sentencepiece_to_tokenizer_json(path.read_bytes()))
    return library.from_json(json.dumps({**content, "added_tokens": []}))


def recipe_of(tokenizer: Tokenizer) -> FastRecipe | None:
    """How the library would open `tokenizer`, None where it has no way."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return FastRecipe("json", tokenizer.plain_json())
    if isinstance(tokenizer, TiktokenTokenizer):
        scheme = tokenizer.scheme
        return FastRecipe("ranks", str(tokenizer.file), _PATTERNS[scheme.pattern], scheme.normalize)
    if isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.legacy and not tokenizer.added:
        return FastRecipe("pieces", str(tokenizer.file))
    return None


def difference(encoder: FastEncoder, tokenizer: Tokenizer, texts: Sequence[str]) -> str | None:
    """The first text for which the two give different ids, if there is one."""
    flat, sizes = encoder.encode(texts)
    ends = np.cumsum(sizes)
    for text, end, size in zip(texts, ends.tolist(), sizes.tolist(), strict=True):
        if flat[end - size : end].tolist() != tokenizer.encode(text):
            return text
    return None


def fast_recipe(tokenizer: Tokenizer, wanted: str, sample: Iterable[str]) -> FastRecipe | None:
    """The recipe if the library can and should be used; the log says what is used and why.

    wanted: "auto", "off" or "require". sample: texts of the run, tried beside the `PROBES`.
    Raises TokenizerError where it is required and cannot be used.
    """
    if wanted == "off":
        return None
    recipe = recipe_of(tokenizer)
    problem, level = "it has no way to open this kind of tokenizer", logging.INFO
    if recipe is not None:
        try:
            texts = [*PROBES, *sample]
            wrong = difference(FastEncoder(recipe), tokenizer, texts)
        except ImportError:
            problem = "it is not installed (pip install gigatoken)"
            level = logging.DEBUG  # nothing is wrong with this tokenizer
        # Whatever the library says of a tokenizer that it does not know.
        except Exception as error:
            problem = f"it does not open this tokenizer ({error})"
        else:
            if wrong is None:
                logger.info("gigatoken tokenizes: its ids are equal on %d sample texts", len(texts))
                return recipe
            problem = f"it gives other ids, for example for {wrong[:80]!r}"
    if wanted == "require":
        message = f"--fast_tokenizer require: gigatoken cannot be used, {problem}."
        raise TokenizerError(message)
    logger.log(level, "the tokenizer's own library tokenizes; not gigatoken: %s", problem)
    return None
