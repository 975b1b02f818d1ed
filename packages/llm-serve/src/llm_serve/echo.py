"""Answers that begin with their prompt: its text, and with logprobs its tokens' too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llm_data.tokenizer import Tokenizer
from llm_infer.engine import Logprobs
from llm_serve.generation import Piece

UNCONDITIONED = math.nan
"""The log probability of a prompt's first token, which nothing stands before."""


@dataclass(frozen=True)
class Echo:
    """Puts prompts before their answers, choice by choice.

    `prompts` as they were asked, texts or token ids, `choices` answers to each.
    `with_logprobs`: the engine tells logprobs of the prompts' tokens but the first.
    """

    prompts: Sequence[str | list[int]]
    choices: int
    tokenizer: Tokenizer
    with_logprobs: bool
    _begun: set[int] = field(default_factory=set)

    def __call__(self, piece: Piece, ids: Sequence[Sequence[int]]) -> Piece:
        """Return the piece, behind the prompt where it is the first of its choice.

        `ids`: the tokens of all prompts.
        """
        if piece.index in self._begun:
            return piece
        self._begun.add(piece.index)
        place = piece.index // self.choices
        prompt = self.prompts[place]
        text = prompt if isinstance(prompt, str) else self.tokenizer.decode(prompt)
        first = (Logprobs(ids[place][0], UNCONDITIONED),) if self.with_logprobs else ()
        return replace(piece, text=text + piece.text, logprobs=(*first, *piece.logprobs))
