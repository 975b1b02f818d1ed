"""What a tokenizer is made of, whatever file it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

from llm_convert.errors import ConvertError

MOST_TOKENS = 1 << 22
"""More than any tokenizer has; a file that states such an id is damaged."""
ROLES = ("bos", "eos", "unk", "pad")


class UncarriedError(ConvertError):
    """A tokenizer that the other format has no place for; the message says for what."""


class Kind(IntEnum):
    """What a token is; the numbers are those of sentencepiece and of GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer: byte-level BPE ("bpe") or the BPE of sentencepiece ("sentencepiece").

    Attributes:
        tokens, kinds: text and kind of every id; of "bpe" in GPT-2's letters for bytes, but for
            added tokens (CONTROL, USER_DEFINED), which are plain.
        scores: of "sentencepiece", of every id.
        merges: of "bpe", "left right" in the order in which they are tried.
        words: of "bpe", the name of how texts are cut into words (`words.WORDS`).
        ids: the roles of ROLES -> id.
        add_bos, add_eos: whether they are put around every text.
        add_space: of "sentencepiece", whether every text begins with a space.
        template: the chat template, in Jinja.
    """

    model: Literal["bpe", "sentencepiece"]
    tokens: tuple[str, ...]
    kinds: tuple[Kind, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()
    words: str = ""
    ids: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    add_bos: bool = False
    add_eos: bool = False
    add_space: bool = True
    template: str | None = None

    def padded(self, size: int) -> Vocabulary:
        """With unused tokens up to `size`, the rows of an embedding.

        Raises UncarriedError where there are more tokens than rows.
        """
        missing = size - len(self.tokens)
        if missing < 0:
            message = (
                f"it has {len(self.tokens)} tokens, and the model's embedding {size} rows; they do "
                "not belong together"
            )
            raise UncarriedError(message)
        names = tuple(f"[PAD{i}]" for i in range(len(self.tokens), size))
        return replace(
            self,
            tokens=self.tokens + names,
            kinds=self.kinds + (Kind.UNUSED,) * missing,
            scores=self.scores + (-1000.0,) * missing if self.scores else (),
        )

    def trimmed(self) -> Vocabulary:
        """Without the unused tokens at the end; inverse of `padded`."""
        size = len(self.tokens)
        while size and self.kinds[size - 1] == Kind.UNUSED:
            size -= 1
        return replace(
            self, tokens=self.tokens[:size], kinds=self.kinds[:size], scores=self.scores[:size]
        )
