"""A sequence as the scheduler sees it: tokens known, tokens in the cache, blocks held."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_infer.engine.positions import PromptPositions


@dataclass(slots=True, eq=False)
class Sequence:
    """One request's tokens and the blocks that hold their keys and values."""

    request_id: int
    token_ids: list[int]
    """The prompt, then what was generated."""
    max_tokens: int
    """How many tokens it will have at most."""
    computed: int = 0
    """How many of the tokens have their keys and values in the cache."""
    blocks: list[int] = field(default_factory=list)
    """Block i holds positions i * block_size up to (i + 1) * block_size."""

    positions: PromptPositions | None = None
    """Where they are not simply 0, 1, 2, ...: those of a prompt with a prefix."""

    @property
    def prefix(self) -> int:
        """Tokens that the decoder must read in one step, since they see each other both ways."""
        return self.positions.prefix if self.positions else 0

    @property
    def pending(self) -> int:
        """Tokens that the decoder has yet to read; 1 while decoding."""
        return len(self.token_ids) - self.computed


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one sequence that the next step reads."""

    sequence: Sequence
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether the chunk reaches the last known token, so that a new one follows."""
        return self.start + self.count == len(self.sequence.token_ids)
