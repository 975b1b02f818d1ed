"""What a tokenizer puts around a text when special tokens are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_data.tokenizer.interface import Tokenizer


@dataclass(frozen=True)
class Surroundings:
    """Ids before and behind a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def taken_off(self, ids: Sequence[int]) -> list[int]:
        """`ids` without them, as far as they are there."""
        begin = len(self.before) if tuple(ids[: len(self.before)]) == self.before else 0
        rest = list(ids[begin:])
        if self.after and tuple(rest[-len(self.after) :]) == self.after:
            rest = rest[: -len(self.after)]
        return rest


def surroundings(tokenizer: Tokenizer) -> Surroundings:
    """The surroundings of every text, found by encoding one that needs no special token."""
    bare = tokenizer.encode("a")
    whole = tokenizer.encode("a", add_special_tokens=True)
    around = len(whole) - len(bare)
    before = next((i for i in range(around + 1) if whole[i : i + len(bare)] == bare), around)
    return Surroundings(tuple(whole[:before]), tuple(whole[before + len(bare) :]))
