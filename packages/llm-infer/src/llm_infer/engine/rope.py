"""Which length chooses the rotary frequencies of a sequence, in models whose frequencies follow it.

Keys in the cache are rotated already, so one choice holds for all of a sequence, from its prompt
on: longrope and dynamic NTK take the length that the request asks for, Qwen-1 that of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_kernels.families import DynamicScaling, FamilySpec, LongScaling, Rope, Sizes


@dataclass(frozen=True)
class RopeChoice:
    """The rule of a model: `trained` tokens share the frequencies that it was trained with."""

    trained: int
    by_prompt: bool
    """The prompt's length decides, not the longest that the answer may reach."""
    two_ways: bool
    """Beyond `trained` every length has the same frequencies."""

    def length(self, prompt: int, wanted: int | None) -> int:
        """The length that decides for `prompt` tokens and `wanted` new ones (None: no bound)."""
        return prompt if self.by_prompt or wanted is None else prompt + wanted

    def kind(self, length: int) -> str:
        """The same for lengths with the same frequencies, whose keys may be shared."""
        if length <= self.trained:
            return ""
        return "long" if self.two_ways else str(length)


def rope_choice(spec: FamilySpec, sizes: Sizes) -> RopeChoice | None:
    """The rule of a model, None where frequencies are always the same."""
    if isinstance(spec.position, Rope) and spec.position.dynamic_ntk:
        return RopeChoice(sizes.max_positions, by_prompt=True, two_ways=False)
    match sizes.rope_scaling:
        case LongScaling(original=original):
            return RopeChoice(original, by_prompt=False, two_ways=True)
        case DynamicScaling(original=original):
            return RopeChoice(original, by_prompt=False, two_ways=False)
    return None
