"""A sequence as the scheduler sees it: tokens known, tokens in the cache, blocks held."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_infer.engine.block_keys import BlockKeys
from llm_infer.engine.positions import PromptPositions


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlocks:
    """Keys and values that stand before a sequence's first token: a tuned prefix.

    They lie in `blocks`, which others share; the last one may be filled in part only, and is copied
    for each sequence.
    """

    tokens: int
    blocks: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Sequence:
    """One request's tokens and the blocks that hold their keys and values."""

    request_id: int
    token_ids: list[int]
    """The prompt, then what was generated."""
    max_tokens: int
    """How many tokens it will have at most, without its tuned prefix."""
    computed: int = 0
    """How many of the tokens have their keys and values in the cache."""
    blocks: list[int] = field(default_factory=list)
    """Block i holds places i * block_size to (i + 1) * block_size; a tuned prefix comes first."""
    positions: PromptPositions | None = None
    """Where they are not simply 0, 1, 2, ...: those of a prompt with a prefix."""
    draft: list[int] = field(default_factory=list)
    """Tokens that may follow; the next step reads them too and shows which are right."""
    prefix_blocks: PrefixBlocks | None = None
    keys: BlockKeys | None = None
    """None where the blocks must not be shared by content."""
    registered: int = 0
    """How many blocks, its prefix's included, are registered by content."""
    reads_all: bool = False
    """Whether logits of all its prompt tokens are wanted, so that none may be left out."""
    slots: int = 1
    """Sequences that it counts for: a beam search has room for all its beams from the beginning."""
    adapter: int = -1
    """Number of its LoRA adapter, -1 for none."""
    rope_length: int = 0
    """Length that chooses its rotary frequencies; 0: they are always the same."""

    @property
    def ahead(self) -> int:
        """Places in the cache before its first token."""
        return self.prefix_blocks.tokens if self.prefix_blocks else 0

    @property
    def size(self) -> int:
        """Places that its known tokens, its draft included, need in the cache."""
        return self.ahead + len(self.token_ids) + len(self.draft)

    @property
    def max_size(self) -> int:
        """Places that it will need at most."""
        return self.ahead + self.max_tokens

    @property
    def prefix(self) -> int:
        """Tokens that the decoder must read in one step, since they see each other both ways."""
        return self.positions.prefix if self.positions else 0

    @property
    def pending(self) -> int:
        """Tokens that the decoder has yet to read; 1 while decoding, 0 while beams wait."""
        return len(self.token_ids) - self.computed

    def fork(self) -> Sequence:
        """Another one that begins with the same tokens; the caller accounts for the blocks."""
        return Sequence(
            self.request_id,
            list(self.token_ids),
            self.max_tokens,
            computed=self.computed,
            blocks=list(self.blocks),
            positions=self.positions,
            prefix_blocks=self.prefix_blocks,
            keys=self.keys.copy() if self.keys else None,
            registered=self.registered,
            adapter=self.adapter,
            rope_length=self.rope_length,
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one sequence that the next step reads, its draft last."""

    sequence: Sequence
    start: int
    count: int
    drafted: int = 0
    """How many of the tokens are of the draft."""

    @property
    def samples(self) -> bool:
        """Whether the chunk reaches the last known token, so that a new one follows."""
        return self.start + self.count - self.drafted == len(self.sequence.token_ids)

    @property
    def logits(self) -> int:
        """How many of its last rows have logits that are wanted."""
        if self.sequence.reads_all:
            return self.count
        return 1 + self.drafted if self.samples else 0

    @property
    def token_ids(self) -> list[int]:
        """The tokens to read."""
        end = self.start + self.count - self.drafted
        return self.sequence.token_ids[self.start : end] + self.sequence.draft[: self.drafted]
