"""Positions of the tokens of models whose prompts have a prefix: ChatGLM-6B and GLM.

Such a prompt holds a mask token, which the answer replaces, and a start token, where the answer
begins; the tokens before that see each other both ways. Every token has two positions (Du et al.
2021, arXiv:2103.10360, section 2.1; `llm_kernels.families.prefix_positions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_infer.errors import InferError
from llm_kernels.errors import ShapeError
from llm_kernels.families import prefix_positions


@dataclass(frozen=True, slots=True)
class PromptPositions:
    """Both positions of T prompt tokens, and how many of these form the prefix."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    prefix: int

    def span(self, start: int, end: int) -> tuple[list[int], list[int]]:
        """Positions of tokens `start` to `end`, which may be the answer's: it counts the second."""
        known = len(self.first)
        beyond = range(max(start, known) - known, max(end - known, 0))
        first = [*self.first[start:end], *(self.first[-1] for _ in beyond)]
        second = [*self.second[start:end], *(self.second[-1] + 1 + i for i in beyond)]
        return first, second


@dataclass(frozen=True)
class PrefixLayout:
    """The tokens by which a model's prompts are laid out, mask tokens by preference."""

    start_token: int
    mask_tokens: tuple[int, ...]

    def positions(self, prompt_ids: Sequence[int]) -> PromptPositions:
        """Positions of a prompt. Raises InferError where the start or mask token is missing."""
        try:
            both, prefix = prefix_positions(
                prompt_ids, start_token=self.start_token, mask_tokens=self.mask_tokens
            )
        except ShapeError as error:
            raise InferError(str(error)) from error
        first, second = both.tolist()
        return PromptPositions(tuple(first), tuple(second), prefix)
